"""values_of(): refusals name the remedy, nothing is touched, batches do not matter, progress moves."""

import copy
import dataclasses
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from analysis.errors import AttributionError
from analysis.explain import attribution
from analysis.explain.attribution import METHODS, attribute, refusal
from analysis.explain.estimates import passes
from analysis.network import Network
from analysis.tracing import trace
from tests.explain.nets import convolutional, examples, linear, reused, smooth, values_of

DETERMINISTIC = [name for name, entry in METHODS.items() if not entry.is_random]
LAYER_METHODS = [name for name, entry in METHODS.items() if entry.needs_layer]
FEW = {"steps": 4, "samples": 20, "orders": 2, "patch": 0.25}  # enough where the numbers do not matter


def few(method: str) -> dict[str, float]:
    """Parameters that make a method fast."""
    return {p.key: max(p.low, FEW[p.key]) for p in METHODS[method].parameters if p.key in FEW}


def unruled(activation: nn.Module) -> Network:
    """A network whose activation Captum has no rule for."""
    return trace(nn.Sequential(nn.Linear(6, 4), activation, nn.Linear(4, 3)), torch.zeros(1, 6), "unruled")


def test_an_unknown_method_lists_the_known_ones():
    with pytest.raises(AttributionError, match="no method 'magic'") as caught:
        values_of(reused(), "magic", *examples(reused(), 2))
    assert all(name in str(caught.value) for name in METHODS)


@pytest.mark.parametrize(
    ("build", "method", "missing"),
    [
        *[(build, method, "convolution") for build in (reused, linear) for method in LAYER_METHODS],
        (smooth, "guided-backprop", "ReLU"),
        (smooth, "deconvolution", "ReLU"),
        (lambda: unruled(nn.GELU()), "deep-lift", "no rule for GELU"),
        (lambda: unruled(nn.GELU()), "deep-lift-shap", "no rule for GELU"),
        (lambda: unruled(nn.PReLU()), "deep-lift", "no rule for PReLU"),
    ],
)
def test_a_method_that_does_not_suit_names_reason_and_remedy(build, method, missing):
    network = build()
    with pytest.raises(AttributionError, match=f"{missing}.*Choose another method") as caught:
        values_of(network, method, *examples(network, 2))
    assert network.name in str(caught.value)
    assert refusal(method, network) in str(caught.value)


def test_every_method_suits_a_convolutional_network():
    network = convolutional()
    assert [refusal(method, network) for method in METHODS] == [""] * len(METHODS)


def test_a_relu6_is_no_relu():
    network = trace(nn.Sequential(nn.Linear(6, 3), nn.ReLU6()), torch.zeros(1, 6), "six")
    assert "no ReLU" in refusal("guided-backprop", network)


@pytest.mark.parametrize("layer", ["head", "nowhere"])
def test_grad_cam_lists_the_layers_it_can_look_at(layer):
    network = convolutional()
    with pytest.raises(AttributionError, match=f"cannot look at {layer}. Choose one of conv1, conv2"):
        values_of(network, "grad-cam", *examples(network, 2), layer=layer)


@pytest.mark.parametrize("method", METHODS)
def test_network_and_inputs_are_left_as_they_are(method):
    network = convolutional()
    inputs, targets = examples(network, 3)
    inputs.requires_grad_(True)
    inputs.grad = torch.full_like(inputs, 7)
    kept = inputs.detach().clone(), targets.clone()
    state = {name: value.clone() for name, value in network.module.state_dict().items()}
    names = [name for name, _ in network.module.named_modules()]
    found = values_of(network, method, inputs, targets, parameters=few(method))
    assert found.shape == inputs.shape and not found.requires_grad
    assert torch.equal(inputs.detach(), kept[0]) and torch.equal(targets, kept[1])
    assert torch.equal(inputs.grad, torch.full_like(kept[0], 7))
    assert all(torch.equal(value, state[name]) for name, value in network.module.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in network.module.parameters())
    assert [name for name, _ in network.module.named_modules()] == names
    for module in network.module.modules():
        hooks = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks
        assert not any(hooks) and not module._backward_pre_hooks
        assert not module.training


def test_captum_gets_a_copy_since_other_sessions_may_run_the_network_meanwhile(monkeypatch):
    network, seen = convolutional(), []
    entry = METHODS["saliency"]

    def spy(request):
        seen.append(request.module)
        return entry.compute(request)

    monkeypatch.setitem(METHODS, "saliency", dataclasses.replace(entry, compute=spy))
    values_of(network, "saliency", *examples(network, 3))
    assert len(seen) == 1
    assert not set(seen[0].modules()) & set(network.module.modules())
    assert not {p.data_ptr() for p in seen[0].parameters()} & {
        p.data_ptr() for p in network.module.parameters()
    }


@pytest.mark.parametrize("method", METHODS)
def test_the_random_generators_are_left_alone(method):
    network = convolutional()
    torch.manual_seed(123)
    np.random.seed(123)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), np.random.get_state()[2]
    values_of(network, method, *examples(network, 3), parameters=few(method))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1]) and np.random.get_state()[2] == before[2]


@pytest.mark.parametrize("method", METHODS)
def test_gradients_may_be_off_where_it_is_called(method):
    network = convolutional()
    inputs, targets = examples(network, 3)
    with torch.no_grad():
        found = values_of(network, method, inputs, targets, parameters=few(method))
        assert not torch.is_grad_enabled()
    assert torch.isfinite(found).all() and found.abs().max() > 0


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_gives_what_each_example_gives_alone(method):
    """Of random methods, too: an example's noise is its own."""
    network = convolutional()
    count = 4 if METHODS[method].is_random else METHODS[method].batch + 3
    inputs, targets = examples(network, count)
    together = attribute(network, method, inputs, targets, parameters=few(method))
    rows = [0, 1, count - 2, count - 1]
    alone = [
        attribute(network, method, inputs[r : r + 1], targets[r : r + 1], parameters=few(method))
        for r in rows
    ]
    values = torch.cat([one.values for one in alone])
    torch.testing.assert_close(together.values[rows], values, atol=1e-5, rtol=1e-4)
    if together.delta is not None:
        delta = torch.cat([one.delta for one in alone])
        torch.testing.assert_close(together.delta[rows], delta, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_progress_rises_batch_by_batch_to_one(method, monkeypatch):
    monkeypatch.setattr(attribution, "_PAUSE_SECONDS", math.inf)
    network = convolutional()
    batch = 1 if METHODS[method].is_random else METHODS[method].batch
    inputs, targets = examples(network, 2 * batch + 1)
    shares: list[float] = []
    attribute(network, method, inputs, targets, parameters=few(method), progress=shares.append)
    assert shares == pytest.approx([batch / len(inputs), 2 * batch / len(inputs), 1])
    assert shares[-1] == 1


@pytest.mark.parametrize("method", METHODS)
def test_progress_moves_within_a_batch_and_never_back(method, monkeypatch):
    monkeypatch.setattr(attribution, "_PAUSE_SECONDS", -1.0)
    network = convolutional()
    inputs, targets = examples(network, 3)
    shares: list[float] = []
    attribute(network, method, inputs, targets, parameters=few(method), progress=shares.append)
    assert shares == sorted(shares) and shares[0] > 0 and shares[-1] == 1
    evaluations = passes(method, few(method), tuple(inputs.shape[1:]))
    if evaluations > 2 * attribution.TOGETHER:
        assert len(shares) > 2 * len(inputs)


class StoppedError(Exception):
    """What a caller raises to cancel."""


@pytest.mark.parametrize("pause", [-1.0, math.inf])
@pytest.mark.parametrize("method", METHODS)
def test_what_progress_raises_comes_through_as_it_is(method, pause, monkeypatch):
    monkeypatch.setattr(attribution, "_PAUSE_SECONDS", pause)
    network, stop = convolutional(), StoppedError("enough")
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()

    def cancel(share: float) -> None:
        raise stop

    with pytest.raises(StoppedError) as caught:
        attribute(network, method, *examples(network, 3), parameters=few(method), progress=cancel)
    assert caught.value is stop
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    again = attribute(network, method, *examples(network, 2), parameters=few(method))  # no lock is held
    assert torch.isfinite(again.values).all()


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("method", [m for m in METHODS if m not in LAYER_METHODS])
def test_a_single_output_speaks_for_class_one_and_against_class_zero(method, flat):
    torch.manual_seed(0)
    layers = [nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1), *([nn.Flatten(0)] if flat else [])]
    network = trace(nn.Sequential(*layers), torch.zeros(1, 6), "binary")
    inputs, _ = examples(network, 20)
    targets = torch.arange(20) % 2
    sign = 2 * targets[:, None] - 1 if METHODS[method].is_signed else 1
    value = attribute(network, method, inputs, None, parameters=few(method))
    found = attribute(network, method, inputs, targets, parameters=few(method))
    assert value.values.abs().max() > 0
    assert torch.equal(found.values, value.values * sign)
    if value.delta is not None:
        assert torch.equal(found.delta, value.delta * sign[:, 0])


@pytest.mark.parametrize("method", LAYER_METHODS)
def test_a_map_of_a_single_output_turns_around_with_the_class(method):
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 16, 1)
    network = trace(nn.Sequential(*layers), torch.zeros(1, 1, 6, 6), "binary")
    inputs, _ = examples(network, 4)
    found = values_of(network, method, inputs, torch.tensor([1, 0, 0, 1]))
    value = values_of(network, method, inputs, None)
    sign = torch.tensor([1.0, -1, -1, 1]) if METHODS[method].is_signed else torch.ones(4)
    assert torch.equal(found, value * sign[:, None, None, None]) and value.abs().max() > 0


@pytest.mark.parametrize("method", ["saliency", "occlusion"])
def test_several_outputs_need_a_target(method):
    inputs, _ = examples(linear(3), 4)
    with pytest.raises(AttributionError, match="answers with 3 values an example"):
        values_of(linear(3), method, inputs, None)


@pytest.mark.parametrize("method", METHODS)
def test_inputs_and_networks_of_zeros_have_attributions_without_nan(method):
    network = convolutional()
    inputs, targets = examples(network, 3)
    assert torch.isfinite(values_of(network, method, torch.zeros_like(inputs), targets)).all()
    dead = copy.deepcopy(network.module)
    with torch.no_grad():
        for parameter in dead.parameters():
            parameter.zero_()
    constant = dataclasses.replace(network, module=dead)
    assert values_of(constant, method, inputs, targets).abs().max() == 0


class _Norm(nn.Module):
    """The length of the answer: it has no gradient where that is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x).pow(2).sqrt()


class _Cut(nn.Module):
    """Its answer is cut off from its input."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x).detach()


def test_gradients_that_do_not_exist_are_said_in_words():
    network = trace(_Norm(), torch.ones(1, 6), "norm")
    with pytest.raises(AttributionError, match=r"Saliency finds NaN.*norm.*Choose another method"):
        values_of(network, "saliency", torch.zeros(2, 6), torch.tensor([0, 1]))


def test_what_the_library_refuses_becomes_a_sentence():
    network = trace(_Cut(), torch.zeros(1, 6), "cut off")
    inputs, targets = torch.randn(2, 6), torch.tensor([0, 1])
    with pytest.raises(AttributionError, match=r"DeepLift cannot explain cut off .*Choose another method"):
        values_of(network, "deep-lift", inputs, targets)
    assert torch.isfinite(values_of(network, "occlusion", inputs, targets)).all()
    with pytest.raises(AttributionError, match="cannot explain"):
        values_of(reused(), "saliency", inputs, torch.tensor([0, 99]))


class _Folded(nn.Module):
    """A convolution over rows that are folded into images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.conv(x.reshape(-1, 1, 5, 5))).mean((2, 3)))


class _ChannelsLast(nn.Module):
    """A linear layer whose output has three dimensions, the channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.head = nn.Linear(2, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.fc(x.permute(0, 2, 3, 1))).mean((1, 2)))


@pytest.mark.parametrize(("module", "shape"), [(_Folded(), (25,)), (_ChannelsLast(), (2, 5, 5))])
def test_grad_cam_is_refused_where_no_convolution_looks_at_an_image(module, shape):
    network = trace(module, torch.zeros(1, *shape), "odd")
    with pytest.raises(AttributionError, match="needs a convolution over an image"):
        values_of(network, "grad-cam", torch.randn(2, *shape), torch.tensor([0, 1]))


@pytest.mark.parametrize("method", METHODS)
def test_repeating_a_method_gives_the_same_bits(method):
    network = convolutional()
    inputs, targets = examples(network, 3)
    first = values_of(network, method, inputs, targets, parameters=few(method))
    torch.manual_seed(99)
    np.random.seed(99)
    assert torch.equal(values_of(network, method, inputs, targets, parameters=few(method)), first)
    other = values_of(network, method, inputs, targets, parameters=few(method), seed=1)
    assert torch.equal(other, first) != METHODS[method].is_random


@pytest.mark.parametrize("method", METHODS)
def test_two_threads_do_not_disturb_each_others_noise(method):
    network = convolutional()
    inputs, targets = examples(network, 3)
    alone = values_of(network, method, inputs, targets, parameters=few(method))
    with ThreadPoolExecutor(3) as pool:
        jobs = [
            pool.submit(values_of, network, method, inputs, targets, parameters=few(method)) for _ in range(3)
        ]
        assert all(torch.equal(job.result(), alone) for job in jobs)


def test_no_examples_get_a_sentence():
    inputs, targets = examples(linear(3), 0)
    with pytest.raises(AttributionError, match="no example to explain"):
        attribute(linear(3), "saliency", inputs, targets)


def test_large_networks_are_explained_in_small_batches(monkeypatch):
    network = convolutional()
    inputs, targets = examples(network, 5)
    whole = values_of(network, "integrated-gradients", inputs, targets)
    monkeypatch.setattr(attribution, "_MEMORY", 1)
    shares: list[float] = []
    found = attribute(network, "integrated-gradients", inputs, targets, progress=shares.append).values
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-4)
    assert all(any(share == pytest.approx(n / 5) for share in shares) for n in range(1, 6))

"""Networks with random weights: everything drawn anew, nothing else touched, statistics that fit."""

import pytest
import torch
from torch import nn

from analysis.explain.randomised import randomised
from analysis.modules import Values
from analysis.network import node_values
from analysis.tracing import trace
from tests.explain import nets
from tests.networks import ARCHITECTURES, architecture, same, snapshot
from tests.zoo.networks import BY_NAME, ZOO
from tests.zoo.opened import from_module


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_no_weight_stays_and_the_network_is_not_modified(name):
    _, network = architecture(name)
    inputs = torch.randn(16, *network.example_input.shape[1:], generator=torch.Generator().manual_seed(0))
    before, generator = snapshot(network.module), torch.get_rng_state()
    stranger = randomised(network, inputs, seed=1)
    assert same(before, snapshot(network.module))
    assert torch.equal(torch.get_rng_state(), generator)
    for layer in network.layers:
        assert not (stranger.weight(layer.name) == network.weight(layer.name)).any()
    assert not stranger.module.training
    assert not any(child.training for child in stranger.module.modules())
    answers = stranger.module(inputs)
    assert answers.shape == network.module(inputs).shape
    assert torch.isfinite(answers).all()


def test_a_seed_repeats_and_another_differs():
    network = nets.convolutional()
    inputs, _ = nets.examples(network, 8)
    one, again, other = (randomised(network, inputs, seed=seed).module.state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(value, again[key]) for key, value in one.items())
    assert not torch.equal(one["conv1.weight"], other["conv1.weight"])


def test_layers_begin_as_torch_lets_them_begin():
    network = nets.reused()
    found = randomised(network, torch.zeros(2, 6), seed=7)
    torch.manual_seed(7)
    expected = [nn.Linear(6, 12), nn.Linear(12, 12), nn.Linear(12, 8), nn.Linear(8, 3)]
    for name, layer in zip(("fc1", "fc2", "fc3", "head"), expected, strict=True):
        assert torch.equal(found.weight(name), layer.weight)


def test_batch_norms_statistics_are_those_of_the_inputs():
    network = nets.convolutional()
    inputs, _ = nets.examples(network, 300)
    found = randomised(network, inputs)
    with torch.no_grad():
        values = node_values(found.module, inputs[:256])
    heard = next(value for node, value in values.items() if node.target == "conv1")
    norm = found.module.get_submodule("bn1")
    assert torch.allclose(norm.running_mean, heard.mean(dim=(0, 2, 3)), atol=1e-5)
    assert torch.allclose(norm.running_var, heard.var(dim=(0, 2, 3)), rtol=1e-4)


def test_values_that_belong_to_no_layer_keep_their_size():
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.place, self.ones = nn.Parameter(5 + 3 * torch.randn(400)), nn.Parameter(torch.ones(400))
            self.head = nn.Linear(400, 2)

        def forward(self, x):
            return self.head(x * self.ones + self.place)

    torch.manual_seed(0)
    network = trace(Scaled(), torch.zeros(1, 400), "scaled")
    found = randomised(network, torch.zeros(2, 400))
    drawn = [m.value for m in found.module.modules() if isinstance(m, Values)]
    (place,) = [value for value in drawn if value.std() > 0]
    original = next(
        m.value for m in network.module.modules() if isinstance(m, Values) and m.value.std(correction=0) > 0
    )
    assert not (place == original).any()
    assert abs(float((place.mean() - original.mean()).detach())) < 0.6  # four standard errors
    assert abs(float((place.std() - original.std()).detach())) < 0.45


@pytest.mark.parametrize("name", [network.name for network in ZOO])
def test_every_network_of_the_zoo_can_forget(name):
    network, inputs = from_module(name), BY_NAME[name].inputs(4)
    before = snapshot(network.module)
    answers = randomised(network, inputs).module(inputs)
    assert torch.isfinite(answers).all()
    assert not torch.equal(answers, network.module(inputs))
    assert same(before, snapshot(network.module))

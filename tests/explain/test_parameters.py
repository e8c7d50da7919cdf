"""Parameters: their ranges, their refusals, what they do to the cost."""

import pytest
import torch

from analysis.errors import AttributionError
from analysis.explain import attribution
from analysis.explain.attribution import METHODS, attribute
from analysis.explain.estimates import cost, draw_seconds, estimated_seconds, pass_seconds, passes
from tests.explain.nets import convolutional, examples, reused

ALL = [(method.name, parameter) for method in METHODS.values() for parameter in method.parameters]


@pytest.mark.parametrize(("method", "parameter"), ALL)
def test_a_default_lies_in_its_range_and_on_a_step(method, parameter):
    assert parameter.low <= parameter.default <= parameter.high
    steps = (parameter.default - parameter.low) / parameter.step
    assert steps == pytest.approx(round(steps)) and parameter.sentence.endswith(".")
    assert METHODS[method].complete(None)[parameter.key] == parameter.default
    assert METHODS[method].complete({parameter.key: parameter.high})[parameter.key] == parameter.high


@pytest.mark.parametrize(("method", "parameter"), ALL)
def test_a_value_out_of_range_is_refused_with_the_range(method, parameter):
    for value in (parameter.low - parameter.step, parameter.high + parameter.step, float("nan")):
        with pytest.raises(
            AttributionError, match=f"{parameter.label} must lie between {parameter.low:g} and"
        ):
            attribute(
                convolutional(), method, *examples(convolutional(), 1), parameters={parameter.key: value}
            )


def test_half_a_sample_is_refused():
    with pytest.raises(AttributionError, match=r"KernelShap: Samples must be a whole number, not 40\.5"):
        METHODS["kernel-shap"].complete({"samples": 40.5})


@pytest.mark.parametrize("method", METHODS)
def test_an_unknown_parameter_lists_the_known_ones(method):
    with pytest.raises(AttributionError, match="has no parameter 'magic'") as caught:
        attribute(reused(), method, *examples(reused(), 1), parameters={"magic": 1})
    names = [parameter.key for parameter in METHODS[method].parameters] or ["none"]
    assert all(name in str(caught.value) for name in names)


FEW = {name: {"samples": 20} if name in ("kernel-shap", "lime") else None for name in METHODS}
OTHERS = {"steps": 8, "samples": 40, "orders": 4, "window": 0.5, "patch": 0.5, "noise": 0.3}


NETWORKS = {"images": convolutional, "a table": reused}
PAIRS = [
    (kind, name) for kind in NETWORKS for name in METHODS if kind == "images" or not METHODS[name].needs_layer
]


@pytest.mark.parametrize("other", [False, True])
@pytest.mark.parametrize(("kind", "method"), PAIRS)
def test_the_cost_counts_how_often_the_network_answers(method, kind, other, monkeypatch):
    network = NETWORKS[kind]()
    chosen = {p.key: min(p.high, OTHERS[p.key]) for p in METHODS[method].parameters} if other else FEW[method]
    answered = []
    count = lambda self, module, inputs, outputs: answered.append(len(outputs))  # noqa: E731
    monkeypatch.setattr(attribution._Watch, "answered", count)
    inputs, targets = examples(network, 2)
    attribute(network, method, inputs, targets, parameters=chosen)
    counted = cost(method, chosen, tuple(inputs.shape[1:]))
    extra = (
        1 if METHODS[method].kind in ("perturbation", "layer") else 0
    )  # Captum looks once more here and there
    assert counted.forwards - extra <= sum(answered) / 2 <= counted.forwards + extra
    assert counted.passes == counted.forwards + 2 * counted.backwards
    assert passes(method, chosen, tuple(inputs.shape[1:])) == counted.passes


def test_an_estimate_is_examples_times_passes_times_seconds():
    assert passes("saliency", None, (1, 8, 8)) == 3
    assert estimated_seconds("saliency", None, (10, 1, 8, 8), 0.5) == 15
    assert estimated_seconds("integrated-gradients", {"steps": 8}, (10, 6), 0.01) == pytest.approx(2.6)
    assert estimated_seconds("lime", {"samples": 100}, (2, 6), 0.01, 0.001) == pytest.approx(2 * (1 + 0.1))


def test_what_is_measured_is_a_time():
    network = reused()
    state = torch.get_rng_state()
    assert 0 < pass_seconds(network, examples(network, 4)[0]) < 10
    assert 0 < draw_seconds() < 10 and draw_seconds() == draw_seconds()
    assert torch.equal(torch.get_rng_state(), state)

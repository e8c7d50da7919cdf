"""Maps on demand: what attribute gives, the usual methods, the empty input."""

import pytest
import torch
from torch import nn

from analysis.explain.attribution import attribute, refusal
from analysis.explain.explainer import empty_input, explainer, usual_methods
from analysis.explain.methods import METHODS
from analysis.tracing import trace
from tests.explain import nets


def _words(padding: int | None = None):
    module = nn.Sequential(nn.Embedding(9, 4, padding_idx=padding), nn.Flatten(), nn.Linear(20, 3))
    return trace(module, torch.zeros(1, 5, dtype=torch.long), "words")


def test_an_explainer_gives_what_attribute_gives_of_any_network():
    network, other = nets.convolutional(), nets.convolutional()
    with torch.no_grad():
        other.module.get_submodule("conv2").weight.mul_(-1)
    inputs, targets = nets.examples(network, 3)
    explain = explainer("grad-cam", 0.0, layer="conv1")
    shares: list[float] = []
    for one in (network, other):
        expected = attribute(one, "grad-cam", inputs, targets, layer="conv1").values
        assert torch.equal(explain(one, inputs, targets, shares.append), expected)
    assert shares[-1] == 1


def test_the_usual_methods_suit_the_network():
    assert usual_methods(nets.convolutional()) == ("saliency", "grad-cam")
    assert usual_methods(nets.smooth()) == ("saliency",)
    assert usual_methods(_words()) == ("saliency",)


def test_without_saliency_the_quickest_method_is_taken():
    """Two embeddings read the tokens, so that no gradient reaches them; some methods only ask for answers."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.head = nn.Embedding(9, 4), nn.Embedding(9, 4), nn.Linear(4, 3)

        def forward(self, x):
            return self.head((self.one(x) + self.two(x)).mean(1))

    network = trace(Twice(), torch.zeros(1, 5, dtype=torch.long), "twice")
    (method,) = usual_methods(network)
    inputs = torch.ones((2, 5), dtype=torch.long)
    assert explainer(method, 0)(network, inputs, torch.tensor([0, 1])).shape == (2, 5)


@pytest.mark.parametrize("method", [name for name in METHODS if not refusal(name, nets.linear())])
def test_local_methods_do_not_grow_with_the_input_of_a_linear_network_and_all_others_do(method):
    network, inputs = nets.linear(), torch.linspace(-1, 2, 6)[None]
    once, twice = (explainer(method, 0.0)(network, factor * inputs, None) for factor in (1, 2))
    growth = float(twice.norm() / once.norm())  # noise and LIME's ridge move it a little
    assert abs(growth - (1 if METHODS[method].is_local else 2)) < 0.3


@pytest.mark.parametrize(("padding", "expected"), [(None, 2), (4, 4)])
def test_the_padding_token_is_the_empty_one(padding, expected):
    empty = empty_input(_words(padding), 2.0)
    assert empty.dtype == torch.long and int(empty) == expected


def test_numbers_are_empty_where_the_data_say_so():
    baseline = torch.tensor([0.5, 1.5]).double()[:, None, None]
    empty = empty_input(nets.convolutional(), baseline)
    assert empty.dtype == torch.float32 and empty.flatten().tolist() == [0.5, 1.5]

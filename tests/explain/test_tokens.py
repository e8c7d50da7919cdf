"""Attribution of networks that read tokens, against autograd by hand and slow sums."""

import copy

import pytest
import torch
from torch import Tensor, nn

from analysis.errors import AttributionError
from analysis.explain.attribution import METHODS, attribute, refusal
from analysis.explain.tokens import token_embedding
from analysis.network import Network
from analysis.tracing import trace
from tests.explain.nets import values_of
from tests.explain.shapley import exact_shapley
from tests.networks import same, snapshot

WORDS, LENGTH = 12, 5
READERS = ("saliency", "integrated-gradients")


class TextNet(nn.Module):
    """Embedding, convolution over time, mean, head; the positions of the words matter."""

    def __init__(self, outputs: int = 3, padding: int | None = None, convert: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 4, padding_idx=padding)
        self.conv, self.act = nn.Conv1d(4, 6, 3, padding=1), nn.Tanh()
        self.mix, self.head = nn.Linear(LENGTH, 2), nn.Linear(12, outputs)
        self.convert = convert

    def forward(self, x: Tensor) -> Tensor:
        return self.read(self.embedding(x.long() if self.convert else x))

    def read(self, embedded: Tensor) -> Tensor:
        return self.head(self.mix(self.act(self.conv(embedded.transpose(1, 2)))).flatten(1))


class Twice(nn.Module):
    """Two embeddings read the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Embedding(WORDS, 4), nn.Embedding(WORDS, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((self.one(x) + self.two(x)).mean(1))


class Positioned(nn.Module):
    """One embedding reads the tokens, the other their positions."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places, self.head = nn.Embedding(WORDS, 4), nn.Embedding(LENGTH, 4), nn.Linear(4, 3)
        self.register_buffer("at", torch.arange(LENGTH))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.words(x) * self.places(self.at)).mean(1))


def load(module: nn.Module) -> Network:
    return trace(module, torch.zeros(1, LENGTH, dtype=torch.long), "words")


def text(count: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(1, WORDS, (count, LENGTH), generator=generator)
    return tokens, torch.randint(3, (count,), generator=generator)


def net(**options) -> tuple[TextNet, Network]:
    torch.manual_seed(0)
    module = TextNet(**options).eval()
    return module, load(copy.deepcopy(module))


def said(module: TextNet, embedded: Tensor, targets: Tensor | None) -> Tensor:
    outputs = module.read(embedded)
    return outputs[:, 0] if targets is None else outputs.gather(1, targets[:, None])[:, 0]


def gradient(module: TextNet, embedded: Tensor, targets: Tensor | None) -> Tensor:
    embedded = embedded.detach().requires_grad_(True)
    with torch.enable_grad():
        return torch.autograd.grad(said(module, embedded, targets).sum(), embedded)[0]


@pytest.mark.parametrize("convert", [False, True])
@pytest.mark.parametrize("outputs", [1, 3])
def test_saliency_is_the_size_of_the_gradient_at_the_embedding(outputs, convert):
    module, network = net(outputs=outputs, convert=convert)
    tokens, targets = text()
    wanted = targets if outputs > 1 else None
    expected = gradient(module, module.embedding.weight[tokens], wanted).abs().sum(dim=2)
    found = values_of(network, "saliency", tokens, wanted)
    assert found.shape == tokens.shape and found.min() >= 0
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("padding", "baseline", "empty"), [(None, 0.0, 0), (None, 4.0, 4), (3, 0.0, 3)])
def test_integrated_gradients_are_a_slow_sum_over_the_way(padding, baseline, empty):
    module, network = net(padding=padding)
    tokens, targets = text()
    start = module.embedding.weight[torch.full_like(tokens, empty)].detach()
    way = module.embedding.weight[tokens].detach() - start
    steps = 400
    total = sum(gradient(module, start + (i + 0.5) / steps * way, targets) for i in range(steps))
    expected = (way * total / steps).sum(dim=2)
    found = values_of(network, "integrated-gradients", tokens, targets, baseline=baseline)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
    with torch.no_grad():
        gained = said(module, start + way, targets) - said(module, start, targets)
    torch.testing.assert_close(found.sum(dim=1), gained, atol=1e-4, rtol=1e-3)
    assert found.min() < 0 < found.max()


def test_a_word_that_is_the_empty_one_already_gets_nothing():
    _, network = net()
    tokens, targets = text()
    tokens[:, 2] = 0
    found = values_of(network, "integrated-gradients", tokens, targets)
    assert (found[:, 2] == 0).all() and (found[:, [0, 1, 3, 4]] != 0).any(dim=0).all()


@pytest.mark.parametrize("method", READERS)
def test_frozen_weights_no_grad_and_large_batches_do_not_matter(method):
    _, network = net()
    tokens, targets = text(METHODS[method].batch + 3)
    with torch.no_grad():
        found = values_of(network, method, tokens, targets)
    _, frozen = net()
    frozen.module.requires_grad_(False)
    torch.testing.assert_close(values_of(frozen, method, tokens, targets), found)
    alone = torch.cat(
        [values_of(network, method, tokens[i : i + 1], targets[i : i + 1]) for i in range(len(tokens))]
    )
    torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", READERS)
def test_network_and_tokens_are_left_as_they_are(method):
    _, network = net()
    tokens, targets = text()
    kept, before = tokens.clone(), snapshot(network.module)
    values_of(network, method, tokens, targets)
    assert torch.equal(tokens, kept) and same(before, snapshot(network.module))


def test_a_binary_answer_turns_around_with_the_class():
    _, network = net(outputs=1)
    tokens, _ = text(4)
    targets = torch.tensor([0, 1, 1, 0])
    value = values_of(network, "integrated-gradients", tokens, None)
    found = values_of(network, "integrated-gradients", tokens, targets)
    assert torch.equal(found, value * (2 * targets[:, None] - 1))


@pytest.mark.parametrize("method", [name for name, entry in METHODS.items() if not entry.reads_tokens])
def test_other_methods_say_why_they_cannot(method):
    _, network = net()
    entry = METHODS[method]
    reason = "needs a convolution over an image" if entry.needs_layer else "tokens have none"
    reason = "numbers of tokens have none" if method == "lime" else reason
    with pytest.raises(AttributionError, match=reason) as caught:
        attribute(network, method, *text())
    assert entry.label in refusal(method, network)
    if not entry.needs_layer:
        able = [m.label for m in METHODS.values() if m.reads_tokens]
        assert all(label in str(caught.value) for label in able) and "Saliency" in able


@pytest.mark.parametrize(("padding", "baseline", "empty"), [(None, 0.0, 0), (None, 4.0, 4), (3, 0.0, 3)])
@pytest.mark.parametrize("method", ["occlusion", "feature-ablation"])
def test_a_token_is_replaced_by_the_empty_one(method, padding, baseline, empty):
    module, network = net(padding=padding)
    tokens, targets = text()
    with torch.no_grad():
        whole = said(module, module.embedding(tokens), targets)
        expected = torch.zeros(tokens.shape)
        for place in range(LENGTH):
            blank = tokens.clone()
            blank[:, place] = empty
            expected[:, place] = whole - said(module, module.embedding(blank), targets)
    found = attribute(network, method, tokens, targets, baseline=baseline).values
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert expected.abs().max() > 0.01


@pytest.mark.parametrize("method", ["shapley-sampling", "kernel-shap"])
def test_shapley_values_of_tokens_are_those_of_all_orders(method):
    module, network = net()
    tokens, targets = text(2)
    sampled = {"orders": 200} if method == "shapley-sampling" else {"samples": 2000}
    found = attribute(network, method, tokens, targets, parameters=sampled).values

    def worth(row: int, kept: tuple[int, ...]) -> float:
        given = torch.zeros(1, LENGTH, dtype=torch.long)
        given[0, list(kept)] = tokens[row, list(kept)]
        with torch.no_grad():
            return float(said(module, module.embedding(given), targets[row : row + 1]))

    expected = torch.stack(
        [exact_shapley(LENGTH, lambda kept, row=row: worth(row, kept)) for row in range(2)]
    )
    torch.testing.assert_close(found, expected, atol=0.15 * float(expected.abs().max()), rtol=0)


def test_the_embedding_of_the_tokens_is_found_by_the_graph():
    assert token_embedding(net()[1].module) == "embedding"
    positioned = load(Positioned())
    assert token_embedding(positioned.module) == "words"
    assert values_of(positioned, "saliency", *text()).shape == (6, LENGTH)


def test_several_embeddings_of_the_tokens_are_refused():
    network = load(Twice())
    assert token_embedding(network.module) is None
    for method in READERS:
        with pytest.raises(AttributionError, match=r"needs one embedding.*words has none or several"):
            values_of(network, method, *text())


def test_inputs_of_the_wrong_kind_are_named():
    _, network = net()
    with pytest.raises(AttributionError, match="words reads tokens, and the inputs are numbers"):
        values_of(network, "saliency", torch.randn(2, LENGTH), torch.tensor([0, 1]))
    numbers = trace(nn.Sequential(nn.Linear(LENGTH, 3)), torch.zeros(1, LENGTH), "numbers")
    with pytest.raises(AttributionError, match="numbers reads numbers, and the inputs are tokens"):
        values_of(numbers, "saliency", *text())

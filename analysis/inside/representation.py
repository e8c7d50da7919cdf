"""Do two networks' layers still say the same? Linear CKA between all layers before and all layers after.

Kornblith et al. 2019, "Similarity of Neural Network Representations Revisited": two representations are alike
if they find the same examples alike, whatever the units are called and however the space is turned. Estimated
from minibatches as in Nguyen et al. 2021, "Do Wide and Deep Networks Learn the Same Things?": the unbiased
HSIC_1 of Song et al. 2012 of each minibatch, averaged before the quotient is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from analysis.errors import DataError
from analysis.importance.signals import signal_node
from analysis.inside.values import example_dims, rows, visit
from analysis.network import Network

Progress = Callable[[float], None]

BATCH = 64  # examples of a minibatch
MOST = 512  # examples that are enough: eight minibatches
LEAST = 4  # the estimator divides by n - 3
_SAME = 1e-6  # of the largest value: a spread below it is rounding in single precision
_FEATURES_AT_ONCE = 2**22  # values in double precision: 32 MiB


@dataclass(frozen=True, eq=False)
class Minibatch:
    """What one minibatch says: HSIC_1 between all layers before (B) and after (A).

    `cross` (B, A); `before` (B,) and `after` (A,) are each layer with itself. NaN where a layer's values do
    not come example by example.
    """

    examples: int
    cross: Tensor
    before: Tensor
    after: Tensor


def minibatches(
    before: Network,
    after: Network,
    inputs: Tensor,
    *,
    known: int = 0,
    progress: Progress = lambda share: None,
) -> Iterator[Minibatch]:
    """Compare each layer of `before` with each layer of `after`, minibatch by minibatch.

    A layer is represented by its signal after its activation (with what is added to it on the way), flattened
    to one row an example. The examples are shuffled with a fixed seed and split evenly into minibatches of
    `BATCH` to twice as many. Neither network is modified.

    Parameters
    ----------
    inputs : Tensor
        Shape (N, ...), N >= 4. None of their targets is used.
    known : int
        How many of the first minibatches are known already and left out.

    Raises
    ------
    DataError
        If there are fewer than four examples.
    """
    if len(inputs) < LEAST:
        raise DataError(
            f"Comparing layers needs at least {LEAST} examples, and there are {len(inputs)}: the estimator "
            "looks at how pairs of examples lie to each other. Give more data."
        )
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    batches = order.tensor_split(max(1, len(inputs) // BATCH))
    networks = [before] if after is before else [before, after]
    readers = [_reader(network) for network in networks]
    for number, batch in enumerate(batches[known:], start=known):
        centred = [reader(inputs[batch]) for reader in readers]
        scale = len(batch) * (len(batch) - 3)
        progress((number + 1) / len(batches))
        yield Minibatch(
            len(batch),
            centred[0] @ centred[-1].T / scale,
            centred[0].square().sum(dim=1) / scale,
            centred[-1].square().sum(dim=1) / scale,
        )


def cka(parts: Sequence[Minibatch]) -> Tensor:
    """Linear CKA (B, A) from minibatches: 1 the same, about 0 unrelated.

    CKA = Σ HSIC_1(X, Y) / √(Σ HSIC_1(X, X) · Σ HSIC_1(Y, Y)), sums over minibatches. NaN where it is not
    defined: a layer says the same for every example, or nothing example by example. An unbiased estimate of
    nothing may fall below 0.
    """
    cross = torch.stack([part.cross for part in parts]).sum(dim=0)
    own = [torch.stack([getattr(part, side) for part in parts]).sum(dim=0) for side in ("before", "after")]
    scale = (own[0][:, None] * own[1][None, :]).sqrt()
    return torch.where(scale > 0, cross / scale, torch.nan)


def unbiased_centred(gram: Tensor) -> Tensor:
    """A Gram matrix (n, n), n >= 4, centred so that ⟨K, L⟩ / (n (n - 3)) is HSIC_1 (Székely & Rizzo 2014).

    The diagonal is left out: rows and columns of the rest are centred, and the diagonal of the result is 0.
    """
    n = len(gram)
    hollow = gram - torch.diag(gram.diagonal())
    sums = hollow.sum(dim=0)
    centred = hollow - (sums[:, None] + sums[None, :]) / (n - 2) + sums.sum() / ((n - 1) * (n - 2))
    return centred.fill_diagonal_(0)


def _reader(network: Network) -> Callable[[Tensor], Tensor]:
    """What reads the centred Gram matrices of all layers, (layers, n * n), of a batch."""
    nodes = [signal_node(network, layer.name) for layer in network.layers]
    dims = example_dims(network, set(nodes))

    def read(inputs: Tensor) -> Tensor:
        n = len(inputs)
        found: dict[fx.Node, Tensor] = {}

        def look(node: fx.Node, values: Tensor) -> None:
            found[node] = unbiased_centred(_gram(rows(values, dims[node], n))).flatten()

        visit(network.module, inputs, dims, look)
        missing = torch.full((n * n,), torch.nan, dtype=torch.float64)
        return torch.stack([found.get(node, missing) for node in nodes])

    return read


def _gram(features: Tensor) -> Tensor:
    """Inner products (n, n) of rows, float64, once their mean is taken off; zero if they do not differ.

    HSIC_1 does not change with the mean, and rounding is smaller without it.
    """
    total = torch.zeros(len(features), len(features), dtype=torch.float64)
    spread = size = 0.0
    for some in features.split(max(1, _FEATURES_AT_ONCE // len(features)), dim=1):
        values = some.double()
        size = max(size, float(values.abs().max()))
        values = values - values.mean(dim=0)
        spread = max(spread, float(values.abs().max()))
        total += values @ values.T
    return total if spread > _SAME * size else torch.zeros_like(total)

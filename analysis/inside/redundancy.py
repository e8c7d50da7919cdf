"""What could go whole: how little a block changes what it reads, and what the network is worth without it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from analysis.datasets import Split
from analysis.inside.blocks import Block, find_blocks, without
from analysis.inside.values import example_dims, visit
from analysis.measure.quality import Evaluation, Interval, evaluate, headline, headline_change, mean_interval
from analysis.network import CONVOLUTION_TYPES, TRANSPOSED_TYPES, Network
from analysis.tasks import Task

Progress = Callable[[float], None]

_CHUNK = 64


@dataclass(frozen=True)
class Skip:
    """A block, how much it changes what it reads, and the headline metric without it.

    `influence` is the block influence with its 95% interval, or None where the values do not come example by
    example; `quality` and its paired `change` are those of the network that skips the block, or None if it
    cannot be measured, for the `reason` given.
    """

    block: Block
    influence: Interval | None
    quality: Interval | None
    change: Interval | None
    reason: str = ""


def skips(
    network: Network,
    split: Split,
    task: Task,
    *,
    known: Collection[str] = (),
    progress: Progress = lambda share: None,
) -> Iterator[Skip]:
    """Measure every block of a network that can be skipped, in the order of the graph.

    Parameters
    ----------
    split : Split
        The examples measured on.
    known : collection of str
        Names of blocks that are left out.

    Raises
    ------
    DataError, NetworkError
        As :func:`analysis.measure.quality.evaluate`, for the whole network.
    """
    blocks = [block for block in find_blocks(network) if block.name not in known]
    if not blocks:
        progress(1.0)
        return
    dense = evaluate(network, split, task)
    first = 1 / (len(blocks) + 1)  # one pass measures the influence of all blocks
    influence = influences(network, blocks, split.inputs, progress=lambda share: progress(first * share))
    for number, (block, changed) in enumerate(zip(blocks, influence, strict=True), start=2):
        found = _skipped(network, block, changed, dense)
        progress(first * number)
        yield found


def influences(
    network: Network,
    blocks: Sequence[Block],
    inputs: Tensor,
    *,
    progress: Progress = lambda share: None,
) -> list[Interval | None]:
    """Block influence of each block: 1 - E cos(what is handed on without it, with it).

    Men et al. 2024, "ShortGPT": without the block, its input is handed on, so that this is the angle between
    its input and its output. A residual block hands on its shortcut, through the activation that follows the
    sum. Tokens count one by one, as in the paper, and the mean over the tokens of an example is taken first;
    images and rows of tables count as one vector each. Two vectors of zeros are the same, a vector of zeros
    and another one are at right angles.

    Returns
    -------
    list of Interval or None
        The mean over examples with its normal 95% interval; 0 is a block that changes no direction.
    """
    pairs = [_Pair(network, block) for block in blocks]
    dims = example_dims(network, {pair.exit for pair in pairs})
    values: list[list[Tensor]] = [[] for _ in blocks]
    for start in range(0, len(inputs), _CHUNK):
        for found, cosines in zip(
            values, _cosines(network, pairs, dims, inputs[start : start + _CHUNK]), strict=True
        ):
            found += cosines
        progress(min(1.0, (start + _CHUNK) / len(inputs)))
    return [mean_interval(1 - torch.cat(found)) if found else None for found in values]


def _cosines(
    network: Network, pairs: Sequence[_Pair], dims: dict[fx.Node, int], inputs: Tensor
) -> list[list[Tensor]]:
    """The cosine of each pair for each example, (N,); none where values do not come example by example."""
    found: list[list[Tensor]] = [[] for _ in pairs]
    held: dict[fx.Node, Tensor] = {}
    waiting = Counter(pair.kept for pair in pairs)

    def look(node: fx.Node, value: Tensor) -> None:
        for i, pair in enumerate(pairs):
            if pair.exit is node:
                if node in dims:
                    found[i].append(pair.cosines(held[pair.kept], value, dims[node], len(inputs)))
                waiting[pair.kept] -= 1
                if not waiting[pair.kept]:
                    del held[pair.kept]
        if waiting[node]:
            held[node] = value

    visit(network.module, inputs, {node for pair in pairs for node in (pair.kept, pair.exit)}, look)
    return found


class _Pair:
    """What a block is compared by: a node that is kept and the one at which it hands on."""

    def __init__(self, network: Network, block: Block) -> None:
        nodes = {node.name: node for node in network.module.graph.nodes}
        self.block = block
        self.kept, self.exit = nodes[block.kept], nodes[block.exit]
        self.activation: nn.Module | None = None
        if block.exit != block.replaced:
            self.activation = network.module.get_submodule(str(self.exit.target))
        last = network.module.get_submodule(block.layers[-1])
        self.has_maps = isinstance(last, (*CONVOLUTION_TYPES, *TRANSPOSED_TYPES))

    def cosines(self, kept: Tensor, given: Tensor, dim: int, examples: int) -> Tensor:
        """Cosine of the two for each example (N,), mean over tokens."""
        if self.activation is not None:
            kept = self.activation(kept)
        sides = [values.double().movedim(dim, 0) for values in (kept, given)]
        are_tokens = given.dim() == 3 and not self.has_maps
        if are_tokens:
            sides = [values.reshape(examples, -1, values.shape[-1]) for values in sides]
        else:
            sides = [values.reshape(examples, 1, -1) for values in sides]
        return _cosine(*sides).mean(dim=1)


def _cosine(one: Tensor, other: Tensor) -> Tensor:
    """Cosine along the last dimension; 1 for two vectors of zeros."""
    norms = one.norm(dim=-1), other.norm(dim=-1)
    product = norms[0] * norms[1]
    cosine = (one * other).sum(dim=-1) / torch.where(product > 0, product, 1.0)
    return torch.where((norms[0] == 0) & (norms[1] == 0), 1.0, cosine.clamp(-1.0, 1.0))


def _skipped(network: Network, block: Block, influence: Interval | None, dense: Evaluation) -> Skip:
    try:
        answered = evaluate(without(network, block), dense.split, dense.task)
    except (ValueError, RuntimeError) as error:  # NaN, or a shape that the code takes from what was skipped
        return Skip(block, influence, None, None, str(error).strip().splitlines()[0])
    return Skip(block, influence, headline(answered), headline_change(answered, dense))

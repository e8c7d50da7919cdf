"""Reshapes, splits, ranges and paddings as modules that can be cut, one function for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import fx

from analysis.canonical.edits import add, argument, hand_over
from analysis.canonical.seen import Seen
from analysis.modules import Pad, Reshape, Split, Take


def reshape(module: fx.GraphModule, node: fx.Node, seen: Seen) -> None:
    """``x.view(n, 8, -1)``, if at most one size of the result follows the number of examples."""
    sizes = _free(seen.two[node], seen.three[node])
    if sizes is not None:
        seen.swap(module, node, Reshape(sizes), node.all_input_nodes[0])


def _free(two: Any, three: Any) -> tuple[int, ...] | None:
    """The sizes of a result with -1 where they follow the number of examples; None if several do."""
    if not isinstance(two, tuple) or len(two) != len(three) or 0 in two:
        return None
    sizes = tuple(-1 if a != b else a for a, b in zip(two, three, strict=True))
    return sizes if sizes.count(-1) <= 1 else None


def split(module: fx.GraphModule, node: fx.Node, seen: Seen) -> None:
    """``x.chunk(2, dim=1)`` and its kin, if the pieces are fixed."""
    source = argument(node, 0, "input", node.kwargs.get("tensor"))
    shape, given = seen.shape(source), argument(node, 2, "dim", 0)
    if shape is None or not isinstance(given, int):
        return
    dim = given % len(shape)
    pieces = tuple(piece[dim] for piece in seen.two[node])
    if pieces == tuple(piece[dim] for piece in seen.three[node]):
        seen.swap(module, node, Split(pieces, dim), source)


def take(module: fx.GraphModule, node: fx.Node, seen: Seen) -> None:
    """``x[:, 4:8]``: the ranges become modules, the rest of the index stays."""
    source, given = node.args
    shape = seen.shape(source)
    index = given if isinstance(given, tuple) else (given,)
    if shape is None or not isinstance(source, fx.Node) or not all(_is_simple(part, seen) for part in index):
        return
    left: list[Any] = []
    consuming = sum(part is not None and part is not ... for part in index)
    dim, value = 0, source
    for part in index:
        if part is ...:
            left += [slice(None)] * (len(shape) - consuming)
            dim += len(shape) - consuming
            continue
        if part is None:
            left.append(None)
            continue
        if isinstance(part, slice) and seen.is_fixed(source, dim) and _is_range_of_channels(part, dim, shape):
            with module.graph.inserting_before(node):
                name = add(module, node.name, Take(tuple(range(shape[dim])[part]), dim))
                value = module.graph.call_module(name, (value,))
            left.append(slice(None))
        else:
            left.append(part)
        dim += 1
    if value is source:
        return
    if all(part == slice(None) for part in left):
        seen.copy(node, value)
        hand_over(node, value)
    else:
        node.args = (value, tuple(left))


def _is_simple(part: Any, seen: Seen) -> bool:
    """True for a position, a range, ``None`` or ``...``; lists and tensors of positions are not."""
    if isinstance(part, fx.Node):
        return isinstance(seen.two[part], int)
    return part is None or isinstance(part, (int, slice, type(...)))


def _is_range_of_channels(part: slice, dim: int, shape: Sequence[int]) -> bool:
    """True for a real range with known ends; steps along rows and columns of images stay."""
    if any(isinstance(end, fx.Node) for end in (part.start, part.stop, part.step)):
        return False
    positions = range(shape[dim])[part]
    whole = positions == range(shape[dim])
    strided_image = len(shape) > 3 and dim > 1 and positions.step != 1
    return not whole and len(positions) > 0 and not strided_image


def narrow(module: fx.GraphModule, node: fx.Node, seen: Seen) -> None:
    """``x.narrow(1, 4, 8)``."""
    source, shape = node.args[0], seen.shape(node.args[0])
    dim, start, length = (argument(node, 1 + k, name) for k, name in enumerate(("dim", "start", "length")))
    if shape is None or not isinstance(source, fx.Node):
        return
    if not (isinstance(dim, int) and isinstance(start, int) and isinstance(length, int)) or length < 1:
        return
    dim %= len(shape)
    if seen.is_fixed(source, dim):
        start %= shape[dim]
        seen.swap(module, node, Take(tuple(range(start, start + length)), dim), source)


def pad(module: fx.GraphModule, node: fx.Node, seen: Seen) -> None:
    """``F.pad``: padding of channels becomes a module; that of rows and columns of images stays."""
    source, amounts = argument(node, 0, "input"), argument(node, 1, "pad")
    mode, filling = argument(node, 2, "mode", "constant"), argument(node, 3, "value")
    shape = seen.shape(source)
    if shape is None or mode != "constant" or not isinstance(amounts, (list, tuple)):
        return
    if not all(isinstance(amount, int) and amount >= 0 for amount in amounts):
        return
    if not isinstance(filling, (int, float, type(None))):
        return
    kept, current = list(amounts), source
    for k in range(len(amounts) // 2):
        dim = len(shape) - 1 - k
        before, after = amounts[2 * k], amounts[2 * k + 1]
        if (dim > 1 and len(shape) > 3) or not (before or after):
            continue
        with module.graph.inserting_before(node):
            padding = Pad(before, after, before + shape[dim] + after, dim, float(filling or 0.0))
            current = module.graph.call_module(add(module, node.name, padding), (current,))
        kept[2 * k] = kept[2 * k + 1] = 0
    if current is source:
        return
    if any(kept):
        node.args, node.kwargs = (current, kept, mode, filling), {}
    else:
        seen.copy(node, current)
        hand_over(node, current)


def expand(module: fx.GraphModule, node: fx.Node, seen: Seen) -> None:
    """Sizes that stay are -1, so that they follow when channels go."""
    source, *given = node.args
    sizes = list(given[0]) if len(given) == 1 and isinstance(given[0], (tuple, list)) else given
    shape = seen.shape(source)
    if shape is None or node.kwargs or len(sizes) != len(shape):
        return
    pairs = zip(sizes, shape, seen.two[node], strict=True)
    node.args = (source, *(-1 if before == after else size for size, before, after in pairs))

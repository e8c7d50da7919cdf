"""Small changes to a graph of modules that every rewriting is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import fx, nn


def hand_over(node: fx.Node, to: fx.Node) -> None:
    """Let all that reads `node` read `to`; `node` goes."""
    node.replace_all_uses_with(to)
    node.graph.erase_node(node)


def hand_on(source: fx.Node, node: fx.Node) -> None:
    """Let all that reads an overwritten value later than `node` read its result, as it did."""
    order = {other: i for i, other in enumerate(node.graph.nodes)}

    def is_later(user: fx.Node) -> bool:
        return order[user] > order[node]

    source.replace_all_uses_with(node, delete_user_cb=is_later)


def replace(
    module: fx.GraphModule, node: fx.Node, child: nn.Module, source: Any, *, name: str | None = None
) -> fx.Node:
    """Let a module of its own compute what `node` computed from `source`; returns its call."""
    target = add(module, name or node.name, child)
    with module.graph.inserting_after(node):
        replacement = module.graph.call_module(target, (source,))
    hand_over(node, replacement)
    return replacement


def add(module: fx.GraphModule, name: str, child: nn.Module) -> str:
    """Add `child` under `name`, numbered if taken; returns the name used."""
    taken = {key for key, _ in module.named_modules()}
    unique, count = name, 1
    while unique in taken:
        count += 1
        unique = f"{name}_{count}"
    module.add_submodule(unique, child)
    return unique


def attribute(module: fx.GraphModule, target: str) -> Any:
    """What a dotted name stands for."""
    owner, _, last = target.rpartition(".")
    return getattr(module.get_submodule(owner), last)


def calls(module: fx.GraphModule) -> Iterator[tuple[fx.Node, nn.Module]]:
    """Each call of a module, with the module; the graph may be changed meanwhile."""
    for node in list(module.graph.nodes):
        if node.op == "call_module":
            yield node, module.get_submodule(str(node.target))


def argument(node: fx.Node, place: int, name: str, default: Any = None) -> Any:
    """An argument given by its place or by its name."""
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)

"""The source of our own modules, as far as a network needs it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from types import ModuleType

from torch import nn

from analysis import modules
from analysis.canonical import functional

_HOMES: tuple[ModuleType, ...] = (modules, functional)
OWN: dict[type[nn.Module], str] = {
    value: name
    for home in _HOMES
    for name, value in vars(home).items()
    if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == home.__name__
}


def inlined(kinds: Iterable[type[nn.Module]]) -> list[str]:
    """The source of the classes among `kinds` that are ours, after the constants that they read."""
    wanted = {(kind.__module__, OWN[kind]) for kind in kinds if kind in OWN}
    found = []
    for home in _HOMES:
        names = {name for place, name in wanted if place == home.__name__}
        found += _definitions(home, names)
    return found


def _definitions(home: ModuleType, names: set[str]) -> list[str]:
    """Top-level statements of a module that define `names`, and what these read of it, in order."""
    text = inspect.getsource(home)
    statements = [node for node in ast.parse(text).body if _defines(node)]
    pending, needed = set(names), set()
    while pending:
        name = pending.pop()
        needed.add(name)
        for statement in statements:
            if name in _defines(statement):
                read = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
                pending |= {other for node in statements for other in _defines(node) & read} - needed
    taken = [node for node in statements if _defines(node) & needed]
    constants = [_written(text, node) for node in taken if not isinstance(node, ast.ClassDef)]
    classes = [_written(text, node) for node in taken if isinstance(node, ast.ClassDef)]
    return ["\n".join(constants), *classes] if constants else classes


def _written(text: str, node: ast.stmt) -> str:
    return ast.get_source_segment(text, node) or ""


def _defines(node: ast.stmt) -> set[str]:
    if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    return (
        {node.target.id} if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else set()
    )

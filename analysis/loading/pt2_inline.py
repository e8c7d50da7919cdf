"""Parts of a forward that ran under ``torch.no_grad()`` or autocast: graphs inside the graph, laid open.

Both only say how to compute; the network is measured in float32 and without gradients anyway.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from analysis.errors import NetworkError
from analysis.loading.pt2_json import shown
from analysis.loading.pt2_schema import MAX_NODES, Argument, Call, Program, Ref, Subgraph

WRAPPERS = {
    "torch.ops.higher_order.wrap_with_set_grad_enabled",
    "torch.ops.higher_order.wrap_with_autocast",
}
_ALIAS = "torch.ops.aten.alias.default"


def inlined(program: Program) -> Program:
    """`program` with the calls of every wrapped part in the place of the wrapper."""
    claims = dict(program.claims)
    calls: list[Call] = []
    for call in program.calls:
        calls += _expanded(call, claims, f"wrapped_{len(calls)}")
        if len(calls) > MAX_NODES:
            raise NetworkError(f"It has more than {MAX_NODES:,} calls; that many are read.")
    return replace(program, calls=tuple(calls), claims=claims)


def _expanded(call: Call, claims: dict[str, Any], prefix: str) -> list[Call]:
    if call.target not in WRAPPERS:
        return [call]
    values = [argument.value for argument in call.arguments]
    place = next((i for i, value in enumerate(values) if isinstance(value, Subgraph)), None)
    if place is None:
        raise NetworkError(f"{shown(call.target)} wraps no calls. Save the model again.")
    inner, operands = values[place], values[place + 1 :]
    made = [name for output in call.outputs for name in (output if isinstance(output, tuple) else (output,))]
    if len(inner.inputs) != len(operands) or len(made) > len(inner.outputs):
        raise NetworkError(f"{shown(call.target)} does not fit the calls it wraps. Save the model again.")
    known: dict[str, Any] = dict(zip(inner.inputs, operands, strict=True))

    def outer(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(outer(v) for v in value)
        return known.get(value.name, Ref(f"{prefix}/{value.name}")) if isinstance(value, Ref) else value

    def named(output: str | tuple[str, ...] | None) -> Any:
        if isinstance(output, tuple):
            return tuple(named(name) for name in output)
        return output and f"{prefix}/{output}"

    claims.update((f"{prefix}/{name}", claim) for name, claim in inner.claims.items())
    calls: list[Call] = []
    for position, wrapped in enumerate(inner.calls):
        moved = replace(
            wrapped,
            arguments=tuple(Argument(a.name, outer(a.value)) for a in wrapped.arguments),
            outputs=tuple(named(output) for output in wrapped.outputs),
        )
        calls += _expanded(moved, claims, f"{prefix}_{position}")
        if len(calls) > MAX_NODES:
            raise NetworkError(f"It has more than {MAX_NODES:,} calls; that many are read.")
    for name, result in zip(made, inner.outputs, strict=False):
        if name is not None:
            calls.append(Call(_ALIAS, (Argument("self", outer(Ref(result))),), (name,), call.path))
    return calls

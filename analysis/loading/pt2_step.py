"""One operator call with its arguments bound to the operator's own schema, and what a handler may do with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import fx, nn

from analysis.errors import NetworkError
from analysis.loading.pt2_build import Builder, Missing, Settings, State
from analysis.loading.pt2_json import shown
from analysis.loading.pt2_schema import Call, Ignored, Meta, Ref

Result = fx.Node | tuple[fx.Node | Missing, ...]


@dataclass(frozen=True)
class Parameter:
    """One parameter of an operator's schema."""

    name: str
    type: str
    default: Any
    required: bool
    keyword: bool
    length: int | None  # a list that may be given as one number


@cache
def schema(operator: str) -> Any:
    """The schema of an allow-listed ATen operator, as "relu.default"."""
    packet, overload = operator.split(".")
    return getattr(getattr(torch.ops.aten, packet), overload)._schema


@cache
def parameters(operator: str) -> tuple[Parameter, ...]:
    """Its parameters in order."""
    return tuple(
        Parameter(
            name=a.name,
            type=str(a.real_type),
            default=_frozen(a.default_value) if a.has_default_value() else None,
            required=not a.has_default_value() and not str(a.real_type).startswith("Optional"),
            keyword=a.kwarg_only,
            length=a.N,
        )
        for a in schema(operator).arguments
    )


@cache
def shares_memory(operator: str) -> bool:
    """True if its result may be a view of its first argument."""
    first = next(iter(schema(operator).arguments), None)
    return first is not None and first.alias_info is not None


@dataclass(frozen=True)
class Step:
    """A call being emitted: `arguments` by name, defaults filled in, names still unresolved."""

    builder: Builder
    call: Call
    operator: str
    arguments: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        """The value of an argument, a :class:`Ref` for a tensor."""
        return self.arguments[name]

    def node(self, name: str) -> Any:
        """The value of an argument as fx takes it."""
        return self.builder.argument(self.arguments[name])

    def meta(self, name: str) -> Meta:
        """What the file claims of a tensor argument."""
        return self.builder.meta(self.arguments[name])

    def state(self, name: str) -> State | None:
        """The weight that an argument is; None for None and for a computed tensor."""
        return self.builder.state(self.arguments[name])

    def emit(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        """Call a function; arguments may be values of the file."""
        resolve = self.builder.argument
        return self.builder.graph.call_function(
            function, tuple(resolve(a) for a in args), {k: resolve(v) for k, v in kwargs.items()}
        )

    def method(self, name: str, *args: Any, **kwargs: Any) -> fx.Node:
        """Call a method of the first argument."""
        resolve = self.builder.argument
        return self.builder.graph.call_method(
            name, tuple(resolve(a) for a in args), {k: resolve(v) for k, v in kwargs.items()}
        )

    def leaf(self, module: nn.Module, *inputs: Any) -> fx.Node:
        """Call a module without weights."""
        return self.builder.leaf(self.call, module, *inputs)

    def layer(
        self,
        kind: type[nn.Module],
        settings: Settings,
        states: dict[str, State | None],
        *inputs: Any,
        otherwise: Callable[[], fx.Node],
    ) -> fx.Node:
        """Call a module that holds weights."""
        return self.builder.layer(self.call, kind, settings, states, inputs, otherwise)

    def given(self) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments without trailing defaults, devices and layouts."""
        known = parameters(self.operator)
        positional = [p for p in known if not p.keyword]
        while positional and self._is_default(positional[-1]):
            positional.pop()
        return [self[p.name] for p in positional], {
            p.name: self[p.name]
            for p in known
            if p.keyword and p.name != "pin_memory" and not self._is_default(p)
        }

    def refuse(self, remedy: str) -> NetworkError:
        """The refusal of this call, with what to do."""
        return NetworkError(f"{shown(self.call.target)}{where(self.call)} {remedy}")

    def _is_default(self, parameter: Parameter) -> bool:
        value = self[parameter.name]
        if isinstance(value, Ignored):
            return True
        return (
            not parameter.required and type(value) is type(parameter.default) and value == parameter.default
        )


def where(call: Call) -> str:
    """The place of a call for a message, as " in 'layer1.0'"."""
    return f" in {shown(call.path)}" if call.path else ""


def bind(builder: Builder, call: Call, operator: str) -> Step:
    """Check every argument of `call` against the schema of `operator`."""
    known = {p.name: p for p in parameters(operator)}
    bound: dict[str, Any] = {}
    for argument in call.arguments:
        parameter = known.get(argument.name)
        if parameter is None or argument.name in bound:
            raise NetworkError(
                f"{shown(call.target)} takes no argument {shown(argument.name)} here. Save the model again."
            )
        value = argument.value
        if parameter.length and isinstance(value, int) and not isinstance(value, bool):
            value = (value,) * parameter.length
        if not _fits(value, parameter.type):
            raise NetworkError(
                f"{argument.name} of {shown(call.target)}{where(call)} should be {parameter.type}, "
                f"not {shown(str(value))}. Save the model again."
            )
        bound[argument.name] = value
    for name, parameter in known.items():
        if name not in bound:
            if parameter.required:
                raise NetworkError(f"{shown(call.target)}{where(call)} has no {name}. Save the model again.")
            bound[name] = parameter.default
    return Step(builder, call, operator, bound)


def _fits(value: Any, kind: str) -> bool:
    if kind.startswith("Optional["):
        return value is None or _fits(value, kind[9:-1])
    if kind.startswith("List["):
        return isinstance(value, tuple) and all(_fits(v, kind[5:-1]) for v in value)
    if kind == "int":
        return isinstance(value, int | Ref) and not isinstance(value, bool)
    if kind == "float":
        return isinstance(value, int | float | Ref) and not isinstance(value, bool)
    kinds: dict[str, tuple[type, ...]] = {
        "Tensor": (Ref, int, float),
        "number": (Ref, int, float),
        "bool": (bool, Ref),
        "str": (str,),
        "ScalarType": (torch.dtype,),
        "Device": (Ignored,),
        "Layout": (Ignored,),
        "MemoryFormat": (Ignored,),
    }
    return isinstance(value, kinds.get(kind, ()))


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value

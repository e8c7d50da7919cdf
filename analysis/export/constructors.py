"""Modules as the source that builds them anew, without their weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from analysis.errors import ExportError
from analysis.export.literals import REMEDY, literal
from analysis.modules import Recurrent, Values

# Arguments that say where and how weights are made, not which layer it is.
_LEFT_OUT = {"device", "dtype", "init", "_weight", "_freeze", "min_value", "max_value"}


def construction(name: str, module: nn.Module, known: Mapping[type[nn.Module], str]) -> str:
    """Source that builds a module like `module`, such as ``nn.Conv2d(1, 8, 3)``.

    Parameters
    ----------
    name : str
        What errors call the module.
    known : mapping
        What classes that are not of torch are called in the source.

    Raises
    ------
    ExportError
        If its class is not known, or it cannot be read off the module how it was made.
    """
    kind = type(module)
    called = known.get(kind) or (f"nn.{kind.__name__}" if getattr(nn, kind.__name__, None) is kind else "")
    if not called:
        raise ExportError(
            f"{name} is a {kind.__name__}, which torch.nn does not have, so that no source can be written for it. {REMEDY}"
        )
    return f"{called}({', '.join(_ARGUMENTS.get(kind, _read_off)(name, module))})"


def _read_off(name: str, module: nn.Module) -> list[str]:
    """Arguments by the attributes of the same names; those that are as by default are left out."""
    found, places = [], True
    for parameter in inspect.signature(type(module).__init__).parameters.values():
        if parameter.name in {"self", *_LEFT_OUT} or parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            continue
        missing = object()
        value = getattr(module, parameter.name, missing)
        if parameter.name == "bias" and (value is None or isinstance(value, Tensor)):
            value = value is not None
        if value is missing and parameter.default is parameter.empty:
            raise ExportError(f"{name} ({type(module).__name__}) does not say its {parameter.name}. {REMEDY}")
        places &= parameter.kind is not parameter.KEYWORD_ONLY
        if value is missing or _is_default(value, parameter.default):
            places = False
            continue
        written = literal(tuple(value) if isinstance(value, (tuple, list)) else value)
        found.append(written if places else f"{parameter.name}={written}")
    return found


def _is_default(value: Any, default: Any) -> bool:
    """True if a setting is as by default; torch keeps a stride of 1 as (1, 1)."""
    if isinstance(value, tuple) and value and not isinstance(default, tuple):
        return all(type(part) is type(default) and part == default for part in value)
    return type(value) is type(default) and bool(value == default)


def _recurrence(_name: str, module: nn.Module) -> list[str]:
    """Arguments of a whole nn.GRU, nn.LSTM or nn.RNN, whose signatures name none."""
    assert isinstance(module, nn.RNNBase)
    names = ("bias", "batch_first", "dropout", "bidirectional")
    found = [literal(getattr(module, name)) for name in ("input_size", "hidden_size", "num_layers")]
    found += [f"{name}={literal(getattr(module, name))}" for name in names]
    if isinstance(module, nn.RNN):
        found.append(f"nonlinearity={module.mode.removeprefix('RNN_').lower()!r}")
    if module.proj_size:
        found.append(f"proj_size={literal(module.proj_size)}")
    return found


def _recurrent(_name: str, module: nn.Module) -> list[str]:
    assert isinstance(module, Recurrent)
    values = (module.weight_ih, module.weight_hh, module.bias_ih, module.bias_hh)
    flags = {"batch_first": module.batch_first, "reverse": module.reverse}
    return [
        literal(module.kind),
        *("None" if value is None else _empty(value) for value in values),
        *(f"{flag}={literal(value)}" for flag, value in flags.items()),
    ]


def _values(_name: str, module: nn.Module) -> list[str]:
    assert isinstance(module, Values)
    made = _empty(module.value)
    return [f"nn.Parameter({made})" if isinstance(module.value, nn.Parameter) else made]


def _empty(value: Tensor) -> str:
    """Source of a tensor of the same shape and type, to be filled."""
    return f"torch.empty({literal(tuple(value.shape))}, dtype={literal(value.dtype)})"


def _nothing(_name: str, _module: nn.Module) -> list[str]:
    return []


_ARGUMENTS: dict[type[nn.Module], Callable[[str, nn.Module], list[str]]] = {
    nn.Identity: _nothing,
    nn.GRU: _recurrence,
    nn.LSTM: _recurrence,
    nn.RNN: _recurrence,
    Recurrent: _recurrent,
    Values: _values,
}

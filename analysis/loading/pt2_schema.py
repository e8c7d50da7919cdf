"""The JSON of a .pt2 file as frozen records: inputs, operator calls and what is claimed of each value.

Follows schema version 8 of ``torch/_export/serde/schema.py`` (torch 2.13). Nothing here is trusted beyond its
type: names are looked up, symbolic expressions are never read, only the operators that compute them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from analysis.errors import NetworkError
from analysis.loading.pt2_json import (
    MAX_LIST,
    get,
    get_bool,
    get_dict,
    get_float,
    get_int,
    get_list,
    get_text,
    get_union,
    shown,
)

SCHEMA_MAJOR = 8
MAX_NODES = 20_000
MAX_INPUTS = 50_000  # parameters, buffers and constants
MAX_RANK = 16
MAX_ELEMENTS = 1 << 28  # of one tensor

STRIDED = 7
# Half and double precision become float32: all measuring is done in it.
DTYPES: dict[int, torch.dtype] = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float32,
    7: torch.float32,
    8: torch.float32,
    12: torch.bool,
    13: torch.float32,
}


@dataclass(frozen=True)
class Ref:
    """A value computed earlier, by name."""

    name: str


@dataclass(frozen=True)
class Ignored:
    """A device, layout or memory format: everything runs on the CPU, strided."""


@dataclass(frozen=True)
class Meta:
    """What the file claims of a tensor; a symbolic size is given by its hint, its axis is in `symbolic`."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    symbolic: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Argument:
    """One argument of a call: a Ref, a number, text, None, a dtype, an Ignored, or a tuple of those."""

    name: str
    value: Any


@dataclass(frozen=True)
class Call:
    """One operator call; an output is the name of a value, or a tuple of names for a list of tensors."""

    target: str
    arguments: tuple[Argument, ...]
    outputs: tuple[str | tuple[str, ...] | None, ...]
    path: str = ""  # of the module it was called in
    kind: str = ""  # that module's class name


@dataclass(frozen=True)
class Subgraph:
    """Calls wrapped by another call, with names of their own for what they read and return."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    calls: tuple[Call, ...]
    claims: Mapping[str, Any]


@dataclass(frozen=True)
class Input:
    """One input of the graph; `state` is the original name of a weight, buffer or constant."""

    role: Literal["parameter", "buffer", "constant", "user"]
    name: str
    state: str = ""


@dataclass(frozen=True)
class Program:
    """A whole exported network, except its weights."""

    inputs: tuple[Input, ...]
    calls: tuple[Call, ...]
    output: str
    claims: Mapping[str, Any]  # value name to its raw description; see :meth:`meta`

    @property
    def user_input(self) -> Input:
        """The one tensor that the network reads."""
        return next(i for i in self.inputs if i.role == "user")

    def meta(self, name: str) -> Meta:
        """What the file claims of the tensor `name`."""
        return parse_meta(get(self.claims, name, "tensor_values"), f"tensor {shown(name)}")


def parse_program(model: Any) -> Program:
    """The records of ``models/model.json``; NetworkError if it is not of the known schema."""
    model = get_dict(model, "The model")
    version = get_dict(get(model, "schema_version", "The model"), "schema_version")
    major = get_int(get(version, "major", "schema_version"), "The schema's major version")
    if major != SCHEMA_MAJOR:
        raise NetworkError(
            f"It was exported with schema {major}; this reader knows schema {SCHEMA_MAJOR}. "
            f"Export it again with torch {torch.__version__.split('+')[0]}."
        )
    module = get_dict(get(model, "graph_module", "The model"), "graph_module")
    graph = get_dict(get(module, "graph", "graph_module"), "graph")
    signature = get_dict(get(module, "signature", "graph_module"), "signature")
    specs = get_list(get(signature, "input_specs", "signature"), "input_specs", MAX_INPUTS)
    inputs = tuple(found for spec in specs if (found := _input(spec)) is not None)
    users = [i.name for i in inputs if i.role == "user"]
    if len(users) != 1:
        raise NetworkError(
            f"It takes {len(users)} inputs; Prunescope reads networks of one tensor. Wrap the model in a module "
            "whose forward(x) builds the other inputs, and export that."
        )
    nodes = get_list(get(graph, "nodes", "graph"), "nodes", MAX_NODES)
    claims = get_dict(get(graph, "tensor_values", "graph"), "tensor_values")
    calls = tuple(_call(node, position) for position, node in enumerate(nodes))
    return Program(inputs, calls, _output(signature), claims)


def parse_meta(value: Any, what: str) -> Meta:
    """A TensorMeta without its strides."""
    value = get_dict(value, what)
    code = get(value, "dtype", what)
    sizes = get_list(get(value, "sizes", what), f"The shape of {what}", MAX_RANK)
    shape, symbolic = [], set()
    for axis, size in enumerate(sizes):
        kind, content = get_union(size, f"A size of {what}")
        if kind == "as_expr":
            symbolic.add(axis)
            hint = get(get_dict(content, f"A size of {what}"), "hint", f"A free size of {what}")
            kind, content = get_union(hint, f"The hint of a free size of {what}")
        if kind != "as_int":
            raise NetworkError(f"A size of {what} is given as {shown(kind)}. Save the model again.")
        shape.append(get_size(content, f"A size of {what}"))
    return Meta(parse_dtype(code, what), tuple(shape), frozenset(symbolic))


def get_size(value: Any, what: str) -> int:
    """A whole number from 0."""
    size = get_int(value, what)
    if size < 0:
        raise NetworkError(f"{what} is {size}. Save the model again.")
    return size


def parse_dtype(code: Any, what: str) -> torch.dtype:
    """The dtype that values of the file's `code` get here."""
    if isinstance(code, bool) or not isinstance(code, int) or code not in DTYPES:
        raise NetworkError(
            f"{what[:1].upper()}{what[1:]} has number type {shown(code)}, which is not read. Convert the model with "
            "model.float() before export."
        )
    return DTYPES[code]


def _input(spec: Any) -> Input | None:
    kind, value = get_union(spec, "An input")
    value = get_dict(value, "An input")
    if kind == "user_input":
        tag, content = get_union(get(value, "arg", "An input"), "An input")
        if tag == "as_none":
            return None
        if tag != "as_tensor":
            raise NetworkError(
                f"An input of it is no tensor ({shown(tag)}). Wrap the model in a module whose forward(x) takes "
                "one tensor, and export that."
            )
        return Input("user", _name(content))
    if kind == "constant_input":  # its value stands in the calls already
        return None
    if kind == "parameter":
        return Input("parameter", _name(get(value, "arg", kind)), _state(value, "parameter_name"))
    if kind == "buffer":
        return Input("buffer", _name(get(value, "arg", kind)), _state(value, "buffer_name"))
    if kind == "tensor_constant":
        return Input("constant", _name(get(value, "arg", kind)), _state(value, "tensor_constant_name"))
    raise NetworkError(
        f"It needs an input of kind {shown(kind)}, which could hold code. Replace custom objects by tensors."
    )


def _output(signature: dict[str, Any]) -> str:
    """The name of the one tensor that the network returns; buffer updates are left out."""
    found = []
    for spec in get_list(get(signature, "output_specs", "signature"), "output_specs", MAX_INPUTS):
        kind, value = get_union(spec, "An output")
        if kind == "user_output":
            found.append(get_union(get(get_dict(value, "An output"), "arg", "An output"), "An output"))
    if len(found) != 1 or found[0][0] != "as_tensor":
        raise NetworkError(
            f"It returns {len(found)} values; Prunescope reads networks that return one tensor. Wrap the model in "
            "a module that returns the output to judge, and export that."
        )
    return _name(found[0][1])


def _call(node: Any, position: int) -> Call:
    what = f"Call {position + 1}"
    node = get_dict(node, what)
    target = get_text(get(node, "target", what), f"The operator of call {position + 1}")
    what = f"{what} ({shown(target)})"
    arguments = []
    for entry in get_list(get(node, "inputs", what), f"The inputs of {what}", MAX_LIST):
        entry = get_dict(entry, f"An input of {what}")
        name = get_text(get(entry, "name", what), f"The name of an input of {what}")
        arguments.append(Argument(name, _value(get(entry, "arg", what), f"{name!a} of {what}")))
    outputs = get_list(get(node, "outputs", what), f"The outputs of {what}", MAX_LIST)
    path, kind = _owner(get_dict(node.get("metadata", {}), f"The metadata of {what}"))
    return Call(target, tuple(arguments), tuple(_made(o, what) for o in outputs), path, kind)


def _made(output: Any, what: str) -> str | tuple[str, ...] | None:
    tag, value = get_union(output, f"An output of {what}")
    if tag == "as_tensors":
        return tuple(_name(v) for v in get_list(value, f"The outputs of {what}", MAX_LIST))
    if tag == "as_none":
        return None
    if tag == "as_tensor":
        return _name(value)
    if tag in ("as_sym_int", "as_sym_float", "as_sym_bool"):
        return get_text(get(get_dict(value, what), "as_name", what), f"An output of {what}")
    raise NetworkError(f"{what} returns {shown(tag)}, which is not read. Return tensors.")


def _value(argument: Any, what: str) -> Any:
    tag, value = get_union(argument, what)
    if tag not in _READERS:
        raise NetworkError(
            f"{what} is given as {shown(tag)}, which is not read. Express it with tensors and numbers, "
            "or open the module from the command line with --model."
        )
    return _READERS[tag](value, what)


def _subgraph(value: Any, what: str) -> Subgraph:
    graph = get_dict(get(get_dict(value, what), "graph", what), what)

    def names(key: str) -> tuple[str, ...]:
        found = []
        for entry in get_list(get(graph, key, what), what, MAX_LIST):
            tag, content = get_union(entry, what)
            found.append(
                _name(content)
                if tag == "as_tensor"
                else get_text(get(get_dict(content, what), "as_name", what), what)
            )
        return tuple(found)

    nodes = get_list(get(graph, "nodes", what), what, MAX_NODES)
    return Subgraph(
        names("inputs"),
        names("outputs"),
        tuple(_call(node, position) for position, node in enumerate(nodes)),
        get_dict(get(graph, "tensor_values", what), what),
    )


def _optional(value: Any, what: str) -> Ref | None:
    tag, content = get_union(value, what)
    return None if tag == "as_none" else Ref(_name(content))


def _symbol(value: Any, what: str) -> Any:
    tag, content = get_union(value, what)
    if tag == "as_name":
        return Ref(get_text(content, what))
    return _READERS[tag](content, what) if tag in ("as_int", "as_float", "as_bool") else _value(value, what)


def _many(read: Any) -> Any:
    return lambda value, what: tuple(read(v, what) for v in get_list(value, what, MAX_LIST))


_READERS: dict[str, Any] = {
    "as_none": lambda value, what: None,
    "as_tensor": lambda value, what: Ref(_name(value)),
    "as_tensors": _many(lambda value, what: Ref(_name(value))),
    "as_optional_tensor": _optional,
    "as_optional_tensors": _many(_optional),
    "as_int": get_int,
    "as_ints": _many(get_int),
    "as_float": get_float,
    "as_floats": _many(get_float),
    "as_bool": get_bool,
    "as_bools": _many(get_bool),
    "as_string": get_text,
    "as_sym_int": _symbol,
    "as_sym_ints": _many(_symbol),
    "as_sym_float": _symbol,
    "as_sym_floats": _many(_symbol),
    "as_sym_bool": _symbol,
    "as_scalar_type": parse_dtype,
    "as_graph": _subgraph,
    "as_device": lambda value, what: Ignored(),
    "as_memory_format": lambda value, what: Ignored(),
    "as_layout": lambda value, what: Ignored(),
}


def _name(value: Any) -> str:
    return get_text(get(get_dict(value, "A tensor"), "name", "A tensor"), "The name of a tensor")


def _state(value: dict[str, Any], key: str) -> str:
    return get_text(get(value, key, "An input"), "The name of a weight")


def _owner(metadata: dict[str, Any]) -> tuple[str, str]:
    """Path and class name of the innermost module a call was made in: "key,path,class;key,path,class"."""
    stack = metadata.get("nn_module_stack")
    if not isinstance(stack, str):
        return "", ""
    parts = stack.rsplit(";", 1)[-1].split(",", 2)
    if len(parts) != 3:
        return "", ""
    return parts[1][:MAX_LIST], parts[2].rsplit(".", 1)[-1][:MAX_LIST]

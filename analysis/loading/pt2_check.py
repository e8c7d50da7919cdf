"""The size of every value of a graph, worked out on the meta device: nothing is computed, no memory is given.

A few lines of JSON can ask for zeros of any shape, or pad, repeat and expand a small tensor to a huge one.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from analysis.errors import NetworkError
from analysis.loading.pt2_json import MAX_INT, shown
from analysis.loading.pt2_schema import MAX_ELEMENTS, MAX_NODES

MAX_TOTAL_ELEMENTS = 1 << 29  # of all values of one run: 2 GiB
MAX_STEPS = 1 << 16  # of a recurrent layer


def check_sizes(module: fx.GraphModule, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Refuse a graph one of whose values would be larger than it may be.

    Parameters
    ----------
    module : fx.GraphModule
        Its weights are not touched.
    shape, dtype
        Of the input.

    Raises
    ------
    NetworkError
        If a value, or all of them together, are too large, or the calls do not fit each other.
    """
    _bounded(math.prod(shape), "The input")
    with torch.no_grad(), torch.device("meta"):
        _Sizes(module).run(torch.empty(shape, dtype=dtype))


class _Sizes(fx.Interpreter):
    """Runs on meta copies of modules and weights, and counts."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.extra_traceback = False  # it would add fx's own text to our messages
        self.total = 0
        self.twins: dict[str, nn.Module] = {}

    def run_node(self, n: fx.Node) -> Any:
        try:
            result = super().run_node(n)
        except NetworkError:
            raise
        except Exception as error:
            line = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise NetworkError(
                f"The call {shown(str(n.name))} does not fit its inputs ({shown(line, 160)}). Save the model again, "
                "or open the module from the command line with --model."
            ) from error
        self._count(result, n)
        return result

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        return super().get_attr(target, args, kwargs).to("meta")

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        module = self.fetch_attr(target)
        if isinstance(module, nn.RNNBase):
            return _recurrent(str(target), module, args[0])
        if target not in self.twins:
            self.twins[target] = _twin(module)
        return self.twins[target](*args, **kwargs)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target in _PIECES:
            pieces = _PIECES[target](*args, **kwargs)
            if pieces > MAX_NODES:
                raise NetworkError(f"A tensor is cut into {pieces:,} pieces; at most {MAX_NODES:,} are made.")
        return super().call_function(target, args, kwargs)

    def _count(self, value: Any, node: fx.Node) -> None:
        if isinstance(value, list | tuple):
            for item in value:
                self._count(item, node)
        elif isinstance(value, Tensor):
            if value.device.type != "meta":
                raise NetworkError(
                    f"The size of {shown(node.name)} cannot be worked out. Save the model again."
                )
            _bounded(value.numel(), f"The result of {shown(node.name)}")
            if not value._is_view() and node.op != "get_attr":
                self.total += value.numel()
                if self.total > MAX_TOTAL_ELEMENTS:
                    raise NetworkError(
                        f"All values of one run have more than {MAX_TOTAL_ELEMENTS:,} elements. Export the model with "
                        "a free batch dimension or a smaller input."
                    )
        elif isinstance(value, int) and abs(value) > MAX_INT:
            raise NetworkError(f"The size {shown(node.name)} has more than 64 bits. Save the model again.")


def _twin(module: nn.Module) -> nn.Module:
    """A copy of a module on the meta device; the memory of its weights is never copied."""
    memo: dict[int, Any] = {
        id(p): nn.Parameter(p.to("meta"), requires_grad=False) for p in module.parameters()
    }
    memo |= {id(b): b.to("meta") for b in module.buffers()}
    return copy.deepcopy(module, memo)


def _recurrent(name: str, module: nn.RNNBase, source: Tensor) -> Any:
    """The outputs of a recurrent layer by rule: run step by step, a long input would take minutes."""
    if source.dim() != 3 or source.shape[2] != module.input_size:
        raise NetworkError(
            f"{name} reads {module.input_size} values a step, not an input of shape {tuple(source.shape)}. "
            "Save the model again."
        )
    batch, steps = source.shape[0 if module.batch_first else 1], source.shape[1 if module.batch_first else 0]
    if steps > MAX_STEPS:
        raise NetworkError(
            f"{name} reads {steps:,} steps; at most {MAX_STEPS:,} are run. Use shorter inputs."
        )
    directions = 2 if module.bidirectional else 1
    width = module.proj_size or module.hidden_size
    output = source.new_empty((*source.shape[:2], directions * width))
    last = source.new_empty((directions * module.num_layers, batch, width))
    if not isinstance(module, nn.LSTM):
        return output, last
    return output, (last, source.new_empty((directions * module.num_layers, batch, module.hidden_size)))


def _bounded(count: int, what: str) -> None:
    if count > MAX_ELEMENTS:
        raise NetworkError(
            f"{what} has {count:,} elements; at most {MAX_ELEMENTS:,} are made. Export the model with a free batch "
            "dimension or a smaller input."
        )


def _of_split(source: Tensor, size: Any, dim: int = 0) -> int:
    return len(size) if isinstance(size, list | tuple) else -(-source.shape[dim] // max(int(size), 1))


def _of_tensor_split(source: Tensor, sections: Any, dim: int = 0) -> int:
    return len(sections) + 1 if isinstance(sections, list | tuple) else int(sections)


_PIECES: dict[Callable[..., Any], Callable[..., int]] = {
    torch.split: _of_split,
    torch.chunk: lambda source, chunks, dim=0: min(int(chunks), source.shape[dim]),
    torch.unbind: lambda source, dim=0: source.shape[dim],
    torch.tensor_split: _of_tensor_split,
}

"""A network as an ONNX file, and what onnxruntime makes of it."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from analysis.errors import ExportError
from analysis.export.pt2 import program_of
from analysis.export.shipment import Shipment, in_batches
from analysis.network import Network, first_line, node_values, replace_modules

FILE, BATCH = "network.onnx", "batch"
CODE = """\
import onnxruntime
session = onnxruntime.InferenceSession("network.onnx")
(outputs,) = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
"""


def write(shipment: Shipment) -> dict[str, bytes]:
    """The pruned network as ONNX, with a free batch dimension called `BATCH`.

    Raises
    ------
    ExportError
        If one of its operators has no counterpart in ONNX.
    """
    program = program_of(_with_plain_pools(shipment.pruned))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own workings
            made = torch.onnx.export(
                program, dynamo=True, verbose=False, external_data=False, dynamic_shapes=({0: BATCH},)
            )  # the shapes do nothing but name the dimension, which is free in the program already
    except Exception as error:
        raise ExportError(
            f"{shipment.pruned.name} cannot be written as ONNX: {_cause(error)}. Take the .pt2 file instead."
        ) from error
    assert made is not None
    return {FILE: made.model_proto.SerializeToString()}


def remark(_shipment: Shipment) -> str:
    """What running it needs."""
    return f"Needs onnxruntime or another ONNX runtime. The free dimension is called `{BATCH}`."


def answers(files: Mapping[str, bytes], inputs: Tensor, _dense: Network) -> Tensor:
    """What onnxruntime answers, on one thread.

    Raises
    ------
    ExportError
        If it does not take the file.
    """
    import onnxruntime  # slow to import, and nothing else needs it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(files[FILE], options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return in_batches(lambda batch: torch.from_numpy(session.run(None, {name: batch.numpy()})[0]), inputs)
    except Exception as error:
        raise ExportError(
            f"onnxruntime does not run the ONNX file: {first_line(error).rstrip('.')}. Take the .pt2 file instead."
        ) from error


class _Largest(nn.Module):
    """Adaptive max pooling, window by window, in operators that ONNX has.

    ``sizes[d]`` are what dimension d of the rows and columns has and what is wanted of it.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)

    def forward(self, values: Tensor) -> Tensor:
        for back, (given, wanted) in enumerate(reversed(self.sizes), 1):
            dim = values.dim() - back
            starts = [place * given // wanted for place in range(wanted)]
            ends = [-(-(place + 1) * given // wanted) for place in range(wanted)]
            windows = (values.narrow(dim, s, e - s) for s, e in zip(starts, ends, strict=True))
            values = torch.cat([window.amax(dim, keepdim=True) for window in windows], dim)
        return values


@torch.no_grad()
def _with_plain_pools(network: Network) -> Network:
    """The network with its adaptive max pooling, which ONNX lacks, written otherwise."""
    graph, module = network.module.graph, network.module
    calls = {
        node: pool
        for node in graph.nodes
        if node.op == "call_module" and isinstance(pool := module.get_submodule(node.target), tuple(_RANKS))
    }
    if not calls:
        return network
    values = node_values(module, network.example_input)
    plain: dict[str, nn.Module] = {}
    for node, pool in calls.items():
        rank = _RANKS[type(pool)]
        if not pool.return_indices:
            given, wanted = (values[n].shape[-rank:] for n in (node.all_input_nodes[0], node))
            plain[str(node.target)] = _Largest(list(zip(given, wanted, strict=True)))
    return replace_modules(network, plain)


_RANKS: dict[type[nn.Module], int] = {
    nn.AdaptiveMaxPool1d: 1,
    nn.AdaptiveMaxPool2d: 2,
    nn.AdaptiveMaxPool3d: 3,
}


def _cause(error: BaseException) -> str:
    """The operator that has no counterpart if one is named, else the first line of the innermost reason."""
    while error.__cause__ is not None:
        error = error.__cause__
    operator = re.search(r"(aten|prims)\.\w+", str(error))
    if "No ONNX function found" in str(error) and operator is not None:
        return f"it has nothing for the operator {operator.group()}"
    return first_line(error).rstrip(".") if isinstance(error, Exception) else type(error).__name__

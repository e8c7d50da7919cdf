"""A network as an ONNX file, and what onnxruntime makes of it."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from analysis.errors import ExportError
from analysis.export.pt2 import program_of
from analysis.export.shipment import Shipment, in_batches
from analysis.network import Network, first_line, node_values, replace_modules

FILE = "network.onnx"


def write(shipment: Shipment) -> dict[str, bytes]:
    """The pruned network as ONNX, with a free batch dimension.

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
            made = torch.onnx.export(program, dynamo=True, verbose=False, external_data=False)
    except Exception as error:
        raise ExportError(
            f"{shipment.pruned.name} cannot be written as ONNX: {_cause(error)}. Take the .pt2 file instead."
        ) from error
    assert made is not None
    return {FILE: made.model_proto.SerializeToString()}


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
            f"onnxruntime does not run the ONNX file: {first_line(error)}. Take the .pt2 file instead."
        ) from error


@torch.no_grad()
def _with_plain_pools(network: Network) -> Network:
    """The network with adaptive max pooling, which ONNX lacks, as plain pooling where that does the same."""
    calls = {
        node.all_input_nodes[0]: (str(node.target), called)
        for node in network.module.graph.nodes
        if node.op == "call_module"
        and isinstance(called := network.module.get_submodule(node.target), tuple(_PLAIN))
    }
    if not calls:
        return network
    plain: dict[str, nn.Module] = {}
    for node, value in node_values(network.module, network.example_input, set(calls)).items():
        name, pool = calls[node]
        make, rank = _PLAIN[type(pool)]
        given = value.shape[-rank:]
        sizes = pool.output_size if isinstance(pool.output_size, tuple) else (pool.output_size,) * rank
        wanted = [size or whole for size, whole in zip(sizes, given, strict=True)]
        if not pool.return_indices and all(
            whole % size == 0 for whole, size in zip(given, wanted, strict=True)
        ):
            plain[name] = make(tuple(whole // size for whole, size in zip(given, wanted, strict=True)))
    return replace_modules(network, plain)


_PLAIN: dict[type[nn.Module], tuple[Callable[..., nn.Module], int]] = {
    nn.AdaptiveMaxPool1d: (nn.MaxPool1d, 1),
    nn.AdaptiveMaxPool2d: (nn.MaxPool2d, 2),
    nn.AdaptiveMaxPool3d: (nn.MaxPool3d, 3),
}


def _cause(error: BaseException) -> str:
    """The operator that has no counterpart if one is named, else the first line of the innermost reason."""
    while error.__cause__ is not None:
        error = error.__cause__
    operator = re.search(r"aten\.\w+", str(error))
    if "No ONNX function found" in str(error) and operator is not None:
        return f"it has nothing for the operator {operator.group()}"
    return first_line(error) if isinstance(error, Exception) else type(error).__name__

"""The formats a network can leave in, by name. A new one is a file and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from analysis.export import onnx_file, packed, pt2, script, source, weights_and_source
from analysis.export.shipment import Shipment
from analysis.network import Network

Files = dict[str, bytes]


@dataclass(frozen=True)
class Format:
    """One way to write a network as files.

    Parameters
    ----------
    name, label, sentence : str
        Its key; what it is called on the screen; for whom it is, in one line.
    tolerance : float
        How far the answers of the files may be from the network's, relative to the largest answer (or 1).
    names : tuple of str
        All the files that it may consist of.
    write : callable
        The files, by name.
    answers : callable
        Loads the files back as a stranger would, and answers inputs (N, ...). The dense network stands for the
        original weights that a stranger has, too; only the script reads them.
    code : str
        Python that gets `outputs` from a tensor `inputs`, run in the folder of the files.
    remark : callable or None
        What else has to be known or done before, as Markdown.
    """

    name: str
    label: str
    sentence: str
    tolerance: float
    names: tuple[str, ...]
    write: Callable[[Shipment], Files]
    answers: Callable[[Mapping[str, bytes], Tensor, Network], Tensor]
    code: str
    remark: Callable[[Shipment], str] | None = None


_FORMATS = (
    Format(
        "pt2",
        "PyTorch (.pt2)",
        "One file for torch.export.load: weights and graph, at any batch size. It opens here again, too.",
        1e-5,
        (pt2.FILE,),
        pt2.write,
        pt2.answers,
        pt2.CODE,
    ),
    Format(
        "safetensors",
        "Weights and source",
        "The weights as safetensors, the architecture as a readable Python file that needs torch alone.",
        1e-5,
        (weights_and_source.WEIGHTS, source.FILE),
        weights_and_source.write,
        weights_and_source.answers,
        weights_and_source.CODE,
    ),
    Format(
        "onnx",
        "ONNX",
        "One file for other runtimes, at any batch size; compared by running it in onnxruntime.",
        1e-4,
        (onnx_file.FILE,),
        onnx_file.write,
        onnx_file.answers,
        onnx_file.CODE,
        onnx_file.remark,
    ),
    Format(
        "packed",
        "Packed weights",
        "The smallest lossless encoding of the weights, which skips what is zero, with the loader for it.",
        1e-5,
        (packed.WEIGHTS, packed.LOADER, source.FILE),
        packed.write,
        packed.answers,
        packed.CODE,
        packed.remark,
    ),
    Format(
        "script",
        "Script from the original",
        "A Python script that makes this network from the weights of the original, with torch alone.",
        1e-5,
        (script.FILE, source.FILE, script.RECIPE, script.DATA, script.RECOVERED),
        script.write,
        script.answers,
        script.CODE,
        script.remark,
    ),
)
FORMATS: Mapping[str, Format] = {entry.name: entry for entry in _FORMATS}

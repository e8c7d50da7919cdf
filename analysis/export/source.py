"""A network's architecture as a Python file that needs torch alone."""

from __future__ import annotations

import re
from pathlib import Path

from torch import nn

from analysis.errors import ExportError
from analysis.export.constructors import construction
from analysis.export.forward import forward_source
from analysis.export.inlined import OWN, inlined
from analysis.export.literals import REMEDY, literal, path
from analysis.network import Network, called_modules

FILE = "network.py"
_BEGIN = "# --- from here on it leaves with every network\n"
_SHIPPED = Path(__file__).parent / "shipped"
_HEAD = '''\
"""A network exported by Prunescope, as plain PyTorch: torch is all it needs.

    from network import load
    network = load("network.safetensors")  # or the .pt file of reproduce.py
    answers = network(inputs)              # inputs: (N, *INPUT_SHAPE), of INPUT_DTYPE
"""

from __future__ import annotations
'''
_IMPORTS = {
    "json": "import json",
    "math": "import math",
    "operator": "import operator",
    "Path": "from pathlib import Path",
    "Literal": "from typing import Literal",
    "torch": "\nimport torch",
    "F": "import torch.nn.functional as F",
    "nn": "from torch import Tensor, nn",
}
_TAIL = '''\
def load(path: str | Path) -> Network:
    """The network with the weights of a safetensors file, or of a state dict that torch saved."""
    is_safetensors = Path(path).suffix == ".safetensors"
    state = read_safetensors(path) if is_safetensors else torch.load(path, weights_only=True)
    network = Network()
    network.load_state_dict(state)
    return network.eval()
'''


def source_of(network: Network) -> str:
    """The file: a class ``Network`` with the layers in their sizes and the forward pass, and ``load(path)``.

    Raises
    ------
    ExportError
        If a module or a call is not one of torch, or a name cannot be written.
    """
    called = dict(called_modules(network.module))
    kinds = list(dict.fromkeys(type(module) for module in called.values()))
    facts = [
        f"NAME = {literal(network.name)}",
        f"INPUT_SHAPE = {literal(tuple(network.example_input.shape[1:]))}  # of one example",
        f"INPUT_DTYPE = {literal(network.example_input.dtype)}",
    ]
    body = [
        "class Network(Part):",
        '    """The layers, and how they are called."""',
        "",
        "    def __init__(self) -> None:",
        "        super().__init__()",
        *(f"        {line}" for line in _building(called)),
        "",
        *(f"    {line}" for line in forward_source(network.module)),
    ]
    parts = (_SHIPPED / "parts.py").read_text(encoding="utf-8").partition(_BEGIN)[2]
    sections = [parts, "\n".join(facts), *inlined(kinds), "\n".join(body), _TAIL]
    code = "\n\n\n".join(section.strip("\n") for section in sections) + "\n"
    imports = [line for name, line in _IMPORTS.items() if re.search(rf"\b{name}\b", code)]
    return _HEAD + "\n" + "\n".join(imports) + "\n\n\n" + code


def _building(called: dict[str, nn.Module]) -> list[str]:
    """Statements that place every module under its name, those it stands in first."""
    lines: list[str] = []
    made: set[str] = set()
    for name, module in called.items():
        above = name.split(".")[:-1]
        for depth in range(1, len(above) + 1):
            owner = ".".join(above[:depth])
            if owner in called:
                raise ExportError(
                    f"{name} is a layer inside the layer {owner}, which is called, too. {REMEDY}"
                )
            if owner not in made:
                made.add(owner)
                lines.append(f"{path(owner)} = Part()")
        lines.append(f"{path(name)} = {construction(name, module, OWN)}")
    return lines

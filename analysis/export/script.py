"""A script that makes the exported network from the original weights, with torch alone."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save as save_arrays
from safetensors.torch import save
from torch import Tensor

from analysis.ending import tied
from analysis.errors import ExportError
from analysis.export import source
from analysis.export.origins import Origin, origins
from analysis.export.shipment import Shipment, in_batches
from analysis.export.stranger import imported, unpacked
from analysis.export.unfinished import UnfinishedError, is_of_the_machine
from analysis.measure.size import state_arrays
from analysis.network import Network

FILE, RECIPE, DATA, RECOVERED = "reproduce.py", "recipe.json", "recipe.safetensors", "recovered.safetensors"
TOLERANCE = 1e-5
CODE = """\
from network import load
network = load("network.pt")
outputs = network(inputs)
"""
_SHIPPED = Path(__file__).parent / "shipped"
_EXAMPLES = 8
_TIME = 600.0  # seconds that the script may take; a large network takes a few


def write(shipment: Shipment) -> dict[str, bytes]:
    """The script, what it does in numbers, and the architecture; errors as :func:`source.source_of`.

    ``recipe.json`` says of each tensor which positions are kept along each dimension, and the digest of the
    original, whose values are in no file. ``recipe.safetensors`` holds packed bits of single weights that went,
    values that the original has not got as they are, and examples with their answers. Weights that were
    trained after pruning are a file of their own.
    """
    state = shipment.pruned.module.state_dict()
    before = shipment.dense.module.state_dict()
    found = origins(shipment.dense, shipment.selection)
    if shipment.recovered is None:  # what pruning has computed, not copied, is given
        found = {
            name: origin for name, origin in found.items() if _is_copied(state[name], before[name], origin)
        }
    examples = shipment.examples.inputs[:_EXAMPLES]
    data = {f"given/{name}": value for name, value in state.items() if name not in found}
    data |= {f"zeroed/{n}": _packed(o.zeroed) for n, o in found.items() if o.zeroed is not None}
    data |= {"example/inputs": examples, "example/outputs": in_batches(shipment.pruned.module, examples)}
    files = {
        FILE: (_SHIPPED / FILE).read_bytes(),
        source.FILE: source.source_of(shipment.pruned).encode(),
        RECIPE: _recipe(shipment, found, before).encode(),
        DATA: save({name: value.detach().clone().contiguous() for name, value in data.items()}),
    }
    if shipment.recovered is not None:
        files[RECOVERED] = save({name: value.clone() for name, value in state.items()})
    return files


def remark(shipment: Shipment) -> str:
    """The command to run first, where its original comes from, and what of it ends up in the network."""
    if shipment.plan.is_dense:
        made = "Nothing was removed, so it makes the network as it was loaded, and checks that these are its weights."
    elif shipment.recovered is not None:
        made = (
            "The weights come from `recovered.safetensors`, as they were trained or mended after pruning. The original is "
            "read to check alone: that it is the network that was pruned, and that what was removed from it is gone."
        )
    else:
        made = "It keeps the values of the original that were not removed, and checks its answers on stored examples."
    return (
        "First make the weights: `python reproduce.py original.safetensors network.pt`. The original is the dense "
        "network's weights as they were loaded, a safetensors file or a state dict of `torch.save`: the file that was "
        "opened, or `network.safetensors` of an export of the dense network (page Export, *Dense*, *Weights and "
        f"source*); of a sample network, `sample_models/weights/NAME.safetensors`. {made}"
    )


def answers(files: Mapping[str, bytes], inputs: Tensor, dense: Network) -> Tensor:
    """What the network answers that the script makes from the weights of the dense one, in a process of its own.

    Raises
    ------
    ExportError
        If the script fails.
    UnfinishedError
        If it was ended from outside, takes too long, or the disk or memory is full.
    """
    with unpacked(files) as folder:
        (folder / "original.safetensors").write_bytes(save_arrays(state_arrays(dense)))
        _carry_out(folder)
        return in_batches(imported(folder / source.FILE).load(folder / "pruned.pt"), inputs)


def _carry_out(folder: Path) -> None:
    """Run the script on the original weights beside it; errors as :func:`answers`."""
    command = tied(FILE, "original.safetensors", "pruned.pt")
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}  # as the worker: what people wait for comes first
    try:
        done = subprocess.run(command, cwd=folder, env=alone, capture_output=True, text=True, timeout=_TIME)
    except subprocess.TimeoutExpired:
        raise UnfinishedError(
            f"The script was ended after {_TIME / 60:.0f} minutes without having made the network. Export again when this "
            "machine has less to do, or take the .pt2 file."
        ) from None
    if not done.returncode:
        return
    said = ((done.stderr or done.stdout).strip().splitlines() or ["no reason given"])[-1]
    if done.returncode < 0:
        raise UnfinishedError(
            f"The script was ended from outside (signal {-done.returncode}), perhaps because memory was full. Export again."
        )
    if is_of_the_machine(said):
        raise UnfinishedError(
            f"The script was not finished on this machine: {said} Make room, and export again."
        )
    raise ExportError(f"The script does not reproduce the network: {said} Take the .pt2 file instead.")


def _recipe(shipment: Shipment, found: Mapping[str, Origin], before: Mapping[str, Tensor]) -> str:
    """What is kept of each tensor, one tensor a line."""
    tensors = [
        f"    {json.dumps(name)}: "
        + json.dumps(
            {
                "shape": list(before[name].shape),
                "sha256": hashlib.sha256(before[name].contiguous().numpy().tobytes()).hexdigest(),
                "keep": origin.keep,
            }
        )
        for name, origin in found.items()
    ]
    facts = {
        "network": shipment.dense.name,
        "parameters": shipment.dense.parameters(),
        "tolerance": TOLERANCE,
        "recovered": shipment.recovered is not None,
        "zeroed": [name for name, origin in found.items() if origin.zeroed is not None],
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in facts.items()]
    return "\n".join(["{", *lines, '  "tensors": {', ",\n".join(tensors), "  }", "}"]) + "\n"


def _is_copied(after: Tensor, before: Tensor, origin: Origin) -> bool:
    """True if a tensor holds the values that were kept, and nothing else."""
    return torch.equal(after, origin.of(before))


def _packed(mask: Tensor) -> Tensor:
    return torch.from_numpy(np.packbits(mask.numpy()))

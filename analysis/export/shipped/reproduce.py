"""Makes the exported network from the weights of the original. Needs torch, and the files beside it.

    python reproduce.py original.safetensors network.pt

The original is the dense network's weights as they were loaded: a safetensors file, or a state dict that torch.save
wrote. If you have no such file: in Prunescope, export the network as "Dense" in the format "Weights and source", and
take its network.safetensors. For a sample network, sample_models/weights/NAME.safetensors will do.

What is written is a state dict for the class in network.py: load("network.pt") gives the network. If
recovered.safetensors lies beside this file, the network was trained or mended after pruning, and its weights come from
there. The original is then read to check alone: that it is the network that was pruned, and that what was removed from it
is gone.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from network import Network, read_safetensors
from torch import Tensor

FOLDER = Path(__file__).resolve().parent
RECOVERED = FOLDER / "recovered.safetensors"


def main(original: str, target: str) -> int:
    """Make the network, write it, and check its answers on the stored examples; 1 if they differ."""
    recipe = json.loads((FOLDER / "recipe.json").read_text(encoding="utf-8"))
    data = read_safetensors(FOLDER / "recipe.safetensors")
    state = reproduce(recipe, data, Path(original))
    network = Network()
    network.load_state_dict(state)
    torch.save(state, target)
    kept = sum(value.numel() for value in network.parameters())
    print(f"{target}: {kept:,} of {recipe['parameters']:,} parameters are left.")
    expected = data["example/outputs"]
    with torch.no_grad():
        answers = network.eval()(data["example/inputs"])
    difference = float((answers - expected).abs().max())
    print(f"Largest difference on {len(expected)} stored examples: {difference:.2g}")
    return int(difference > recipe["tolerance"] * max(1.0, float(expected.abs().max())))


def reproduce(recipe: dict[str, Any], data: dict[str, Tensor], original: Path) -> dict[str, Tensor]:
    """The state dict of the pruned network; ends the script if the original is another network's."""
    known = {_digest(value): value for value in _tensors(_read(original)) if value.is_floating_point()}
    missing = [name for name, entry in recipe["tensors"].items() if entry["sha256"] not in known]
    if missing:
        sys.exit(
            f"{original} holds the weights of another network: {len(missing)} of {len(recipe['tensors'])} tensors are "
            f"not in it as they were, the first is {missing[0]}. Give the file that was pruned: see python reproduce.py --help."
        )
    state = {name.removeprefix("given/"): value for name, value in data.items() if name.startswith("given/")}
    for name, entry in recipe["tensors"].items():
        values = known[entry["sha256"]].reshape(entry["shape"])
        for dim, keep in enumerate(entry["keep"]):
            if keep is not None:
                values = values.index_select(dim, torch.tensor(keep))
        state[name] = values.clone()
    zeroed = {name: _unpacked(data[f"zeroed/{name}"], state[name]) for name in recipe["zeroed"]}
    if recipe["recovered"]:
        print(
            "It was trained or mended after pruning: weights come from recovered.safetensors, not from the original."
        )
        return _recovered(state, zeroed)
    for name, mask in zeroed.items():
        state[name].masked_fill_(mask, 0)
    return state


def _recovered(pruned: dict[str, Tensor], zeroed: dict[str, Tensor]) -> dict[str, Tensor]:
    """The recovered weights, after checking that what was removed from the original is gone from them."""
    state = read_safetensors(RECOVERED)
    for name, values in pruned.items():
        if name not in state or state[name].shape != values.shape:
            sys.exit(f"{RECOVERED} does not fit: {name} should have the shape {tuple(values.shape)}.")
    for name, mask in zeroed.items():
        if bool(state[name][mask].any()):
            sys.exit(f"{RECOVERED} does not fit: weights of {name} that were removed are not zero.")
    return state


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return read_safetensors(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        sys.exit(f"{path} cannot be read ({error.strerror}).")
    except Exception as error:
        sys.exit(
            f"{path} is neither a safetensors file nor a state dict that torch.save wrote "
            f"({type(error).__name__}). Save network.state_dict() with torch.save."
        )


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors of a state dict, however deep, in full precision."""
    if isinstance(value, Tensor):
        yield value.detach().float().contiguous() if value.is_floating_point() else value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)


def _digest(value: Tensor) -> str:
    return hashlib.sha256(ctypes.string_at(value.data_ptr(), value.nbytes)).hexdigest()


def _unpacked(packed: Tensor, like: Tensor) -> Tensor:
    """Bits, the highest of each byte first, as a mask."""
    bits = packed[:, None] >> torch.arange(7, -1, -1, dtype=torch.uint8) & 1
    return bits.flatten()[: like.numel()].bool().reshape(like.shape)


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv[1:]}:
        print(__doc__)
        sys.exit()
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))

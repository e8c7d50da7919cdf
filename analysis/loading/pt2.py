"""Networks from .pt2 files of ``torch.export.save``: read as data, nothing in the file is executed.

The archive is a zip of a JSON graph and raw weight blobs. ``torch.export.load`` would unpickle parts of it; this
reader never opens those. What it emits is a ``torch.fx`` graph of ``nn`` modules and public torch functions that
stand on an allow-list (:mod:`analysis.loading.aten`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from analysis.errors import NetworkError
from analysis.loading.archive import MAX_UNPACKED_BYTES, Archive, open_archive
from analysis.loading.aten import emit
from analysis.loading.pt2_build import Builder
from analysis.loading.pt2_check import check_sizes
from analysis.loading.pt2_inline import inlined
from analysis.loading.pt2_json import MAX_JSON_BYTES, parse_json, shown
from analysis.loading.pt2_schema import Meta, parse_program
from analysis.loading.pt2_tensors import ReadBlob, Weights

HOW_TO_SAVE = (
    "Save the model with torch.export.save(torch.export.export(model.eval(), (x,), dynamic_shapes=({0: "
    'torch.export.Dim("batch")},)), path).'
)
MAX_BATCH = 4096
MAX_TOKEN = 256  # tokens of an example that no embedding bounds
_SMALL = 1 << 10


def read_pt2(source: bytes | Path, name: str) -> tuple[fx.GraphModule, Tensor]:
    """The network of a .pt2 file, and an example of its input.

    Parameters
    ----------
    source : bytes or Path
        The file, or its content.
    name : str
        What messages call it.

    Returns
    -------
    module : fx.GraphModule
        In eval mode; every operator with weights is an ``nn`` module under its original name, every activation
        and pooling call a module of its own. Its memory is its own. Weights are float32.
    example : Tensor
        Shape (1, ...) as exported: seeded normal numbers, or tokens that every embedding knows.

    Raises
    ------
    NetworkError
        And nothing else, if the file is damaged, claims more than the limits allow, or uses what is not on
        the allow-list.
    """
    try:
        with open_archive(source, refuse=NetworkError, what="a .pt2 archive") as archive:
            return _from_archive(archive)
    except NetworkError as error:
        raise NetworkError(f"{name}: {error}") from error
    except Exception as error:
        raise NetworkError(
            f"{name} cannot be read as a .pt2 file ({type(error).__name__}: {shown(str(error), 160)}). {HOW_TO_SAVE}"
        ) from error


def build(
    model: Any, weights: Any, constants: Any, read_weight: ReadBlob, read_constant: ReadBlob
) -> tuple[fx.GraphModule, Tensor]:
    """The network of the three parsed JSON members of an archive, and its example input.

    `read_weight` and `read_constant` give the bytes of a blob that `weights` or `constants` names.
    """
    program = inlined(parse_program(model))
    builder = Builder(program, Weights(weights, read_weight), Weights(constants, read_constant))
    claimed = program.meta(program.user_input.name)
    if not claimed.shape or not 1 <= claimed.shape[0] <= MAX_BATCH:
        raise NetworkError(
            f"Its input has shape {claimed.shape}. The first axis must count the examples of a batch, 1 to {MAX_BATCH:,}."
        )
    for position, call in enumerate(program.calls):
        try:
            emit(builder, call, position)
        except NetworkError:
            raise
        except Exception as error:
            raise NetworkError(
                f"The call {shown(call.target, 80)} in {shown(call.path or 'the model')} cannot be read "
                f"({shown(str(error), 160)}). Save the model again."
            ) from error
    module = builder.finish()
    batch = 1 if 0 in claimed.symbolic else claimed.shape[0]
    check_sizes(module, (batch, *claimed.shape[1:]), claimed.dtype)
    return module, _example(module, claimed)


def _from_archive(archive: Archive) -> tuple[fx.GraphModule, Tensor]:
    folder, model = _find_model(archive)
    _check_header(archive, folder)

    def json_of(member: str) -> Any:
        return parse_json(archive.read_member(f"{folder}/{member}", MAX_JSON_BYTES), member)

    def blobs_in(place: str) -> ReadBlob:
        def read(path: str) -> bytes:
            if not re.fullmatch(r"[A-Za-z0-9_]+", path):
                raise NetworkError(f"The blob {shown(path)} has no plain name. Save the model again.")
            return archive.read_member(f"{folder}/data/{place}/{path}", MAX_UNPACKED_BYTES)

        return read

    return build(
        json_of(f"models/{model}.json"),
        json_of(f"data/weights/{model}_weights_config.json"),
        json_of(f"data/constants/{model}_constants_config.json"),
        blobs_in("weights"),
        blobs_in("constants"),
    )


def _find_model(archive: Archive) -> tuple[str, str]:
    """The archive's folder and its one model's name; else a refusal that says what the file is instead."""
    names = archive.names
    found = [m for n in names if (m := re.fullmatch(r"([^/]+)/models/([^/]+)\.json", n))]
    if len(found) == 1:
        return found[0][1], found[0][2]
    if found:
        raise NetworkError(f"It holds {len(found)} models. Save each to a file of its own.")
    if any(n.endswith("data.pkl") for n in names):
        raise NetworkError(
            f"It was saved with torch.save or torch.jit.save; such files can run code and are not opened. {HOW_TO_SAVE}"
        )
    if any(n.endswith(("serialized_exported_program.json", "serialized_state_dict.pt")) for n in names):
        raise NetworkError(
            "It was written by an older torch, weights as a pickle. Export it again with torch 2.13."
        )
    raise NetworkError(f"It holds no exported model. {HOW_TO_SAVE}")


def _check_header(archive: Archive, folder: str) -> None:
    for member, known in (("archive_format", b"pt2"), ("archive_version", b"0"), ("byteorder", b"little")):
        content = archive.read_member(f"{folder}/{member}", _SMALL)
        if content != known:
            raise NetworkError(
                f"Its {member} is {shown(content.decode('ascii', 'replace'))}; this reader knows "
                f"{known.decode()!r}. Export it again with torch 2.13."
            )


def _example(module: fx.GraphModule, claimed: Meta) -> Tensor:
    """One seeded example of the claimed shape."""
    generator = torch.Generator().manual_seed(0)
    shape = (1, *claimed.shape[1:])
    if claimed.dtype.is_floating_point:
        return torch.randn(shape, generator=generator)
    most = 2 if claimed.dtype == torch.bool else min(_tokens(module), torch.iinfo(claimed.dtype).max)
    return torch.randint(0, most, shape, generator=generator).to(claimed.dtype)


def _tokens(module: fx.GraphModule) -> int:
    """How many tokens the smallest embedding knows that reads the input before another layer does."""
    known = [MAX_TOKEN]
    pending = [node for node in module.graph.nodes if node.op == "placeholder"]
    seen = set(pending)
    while pending:
        for user in pending.pop().users:
            if user.op == "call_module":
                layer = module.get_submodule(str(user.target))
                if isinstance(layer, nn.Embedding):
                    known.append(layer.num_embeddings)
                continue
            if (
                user.target is nn.functional.embedding
                and isinstance(user.args[1], fx.Node)
                and user.args[1].op == "get_attr"
            ):
                known.append(_attribute(module, str(user.args[1].target)).shape[0])
                continue
            if user not in seen:
                seen.add(user)
                pending.append(user)
    return min(known)


def _attribute(module: nn.Module, path: str) -> Tensor:
    owner, _, name = path.rpartition(".")
    found = getattr(module.get_submodule(owner), name)
    assert isinstance(found, Tensor)
    return found

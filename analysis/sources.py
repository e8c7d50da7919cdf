"""Where a network and its data come from: two files that somebody brings, and how they are read."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from analysis.datasets import Dataset, Normalisation
from analysis.durable import settle
from analysis.errors import NetworkError
from analysis.loading.architectures import Architecture, available, load_into
from analysis.loading.data import read_data
from analysis.loading.evaluation_set import Prepared, finish, prepare
from analysis.loading.labels import infer_task
from analysis.loading.normalisation import AS_THEY_ARE, NORMALISATIONS, UNIT
from analysis.loading.raw import RawData
from analysis.loading.weights_file import SUFFIXES as WEIGHTS
from analysis.loading.weights_file import read_weights_file
from analysis.measure import plausibility
from analysis.measure.quality import Interval, evaluate
from analysis.network import Network
from analysis.pruning.groups import with_groups
from analysis.tasks import TASKS
from analysis.tracing import open_pt2, trace

_NETWORK, _DATA, _DESCRIPTION = "network", "data", "source.json"
_NAME_LENGTH = 60
_DIGEST_LENGTH = 16
_FIRST = 64  # examples that the network must be able to answer before it is shown

Say = Callable[[str], None]
Architectures = Sequence[Architecture]


def say_nothing(step: str) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, eq=False)
class Opened:
    """A network with the data it is judged on, ready to be looked at.

    `card` is the model card, if there is one; `siblings` are names of networks of the same architecture,
    trained differently; `notes` are sentences on what was done to the files to read them.
    """

    network: Network
    dataset: Dataset
    card: Mapping[str, Any] | None = None
    siblings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


Here = Callable[[str], Opened]


@dataclass(frozen=True)
class Settings:
    """How the two files are read; what is empty is inferred.

    Parameters
    ----------
    network_file, data_file : str
        Their names where they come from.
    architecture : str
        The key of the architecture that a file of weights alone belongs to.
    task : str
        A key of :data:`analysis.tasks.TASKS`.
    normalisation : str
        A key of the normalisations of :mod:`analysis.loading.data`.
    target : str
        The column of a table that is predicted.
    data_of : str
        The name of a network that is always here, whose data are used: there is no data file then.
    """

    network_file: str
    data_file: str
    architecture: str = ""
    task: str = ""
    normalisation: str = ""
    target: str = ""
    data_of: str = ""

    def described(self) -> dict[str, str]:
        """As plain data; `data_of` only if it is used, so that names given before it was known stay."""
        content = asdict(self)
        return content if self.data_of else {key: content[key] for key in content if key != "data_of"}


@dataclass(frozen=True, eq=False)
class Files:
    """The bytes of the two files, and how they are read."""

    network: bytes
    data: bytes
    settings: Settings

    @property
    def size(self) -> int:
        """Bytes of both."""
        return len(self.network) + len(self.data)

    @property
    def name(self) -> str:
        """The network's name: equal for equal files read alike, and for no others."""
        digest = hashlib.sha256()
        for part in (self.network, self.data, json.dumps(self.settings.described()).encode()):
            digest.update(hashlib.sha256(part).digest())
        return identity(Path(self.settings.network_file).stem, digest.hexdigest())


def identity(stem: str, digest: str) -> str:
    """A name from what people call a thing and a digest of what it is: letters, digits, ``_``, ``.``, ``-``."""
    plain = re.sub("[^A-Za-z0-9_.-]+", "-", stem).strip(".-")[:_NAME_LENGTH].rstrip(".-")
    return f"{plain or 'network'}-{digest[:_DIGEST_LENGTH]}"


def stem_of(name: str) -> str:
    """What people call it: the name without a digest, if it has one."""
    stem, _, digest = name.rpartition("-")
    return stem if re.fullmatch(f"[0-9a-f]{{{_DIGEST_LENGTH}}}", digest) else name


def write_folder(folder: Path, files: Files) -> None:
    """Write files into an empty folder, for :func:`open_folder`.

    What they are called there is not for whoever named them to say.
    """
    (folder / _NETWORK).write_bytes(files.network)
    (folder / _DATA).write_bytes(files.data)
    (folder / _DESCRIPTION).write_text(json.dumps(files.settings.described(), indent=2) + "\n")
    settle(*(folder / name for name in (_NETWORK, _DATA, _DESCRIPTION)), folder)


def read_folder(folder: Path) -> Files:
    """The files of a folder that is called by their name.

    Raises
    ------
    NetworkError
        If they are missing or damaged.
    """
    try:
        settings = Settings(**json.loads((folder / _DESCRIPTION).read_text()))
        files = Files((folder / _NETWORK).read_bytes(), (folder / _DATA).read_bytes(), settings)
    except (OSError, TypeError, ValueError) as error:
        raise NetworkError(f"The files of {folder.name} cannot be read. Open the network again.") from error
    if files.name != folder.name:
        raise NetworkError(f"The files of {folder.name} are damaged. Open the network again.")
    return files


def digest_of(network: Network, dataset: Dataset) -> str:
    """Equal for equal weights and examples."""
    digest = hashlib.sha256()
    tensors = [*sorted(network.module.state_dict().items())]
    for part in ("evaluation", "calibration"):
        split = getattr(dataset, part)
        tensors += [(f"{part} inputs", split.inputs), (f"{part} targets", split.targets)]
    for name, value in tensors:
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def none_here(name: str) -> Opened:
    """Where no network is always here."""
    raise NetworkError(f"The network {name!r}, whose data are used, is not here. Choose another network.")


def open_folder(folder: Path, shipped: Architectures = (), here: Here = none_here) -> Opened:
    """The network and data of a folder that :func:`write_folder` wrote; as :func:`open_files`."""
    return open_files(read_folder(folder), shipped, here=here)


def open_files(
    files: Files, shipped: Architectures = (), say: Say = say_nothing, here: Here = none_here
) -> Opened:
    """The network and data of two files; nothing in them is executed.

    Parameters
    ----------
    shipped : sequence of Architecture
        Known for files of weights alone, beside those of the libraries that are installed.
    say : callable
        Told each step when it begins.
    here : callable
        Opens the networks that are always here by their names, for settings that use the data of one.

    Raises
    ------
    PrunescopeError
        If a file is refused, or the two do not fit one another.
    """
    network, notes = _network(files, shipped, say)
    if files.settings.data_of:
        lender = here(files.settings.data_of)
        opened = complete(network, lender.dataset, say)
        return replace(opened, siblings=_family(lender, network), notes=notes)
    ready = _prepared(files, network, say)
    opened = complete(network, finish(ready, _normalisation(files.settings, ready)), say)
    return replace(opened, notes=notes)


def grown(parent: Files | str, network: bytes, how: str, stem: str) -> Files:
    """The files of a network that was trained further, judged on the data of the one it grew from.

    Parameters
    ----------
    parent : Files or str
        The files of that one, or its name if it is always here.
    network : bytes
        The trained network as .pt2.
    how, stem : str
        What was done to it, and what people call the one it grew from: its name says both.
    """
    file = f"{stem}-{how}.pt2"
    if isinstance(parent, str):
        return Files(network, b"", Settings(file, "", data_of=parent))
    return Files(network, parent.data, replace(parent.settings, network_file=file, architecture=""))


def try_normalisations(files: Files, shipped: Architectures = ()) -> dict[str, Interval]:
    """The headline metric under each of the usual normalisations, by key."""
    network, _ = _network(files, shipped, say_nothing)
    return plausibility.try_normalisations(network, _prepared(files, network, say_nothing))


def dataset_of(raw: RawData, network: Network) -> Dataset:
    """A dataset of examples as they stand, for the task that their targets and the network speak of."""
    return finish(_fitted(raw, network, ""), AS_THEY_ARE)


def complete(network: Network, dataset: Dataset, say: Say = say_nothing) -> Opened:
    """The network with its groups checked, after it has answered some of the data.

    Raises
    ------
    PrunescopeError
        If the network cannot run on the data, or does not answer what the task asks for.
    """
    say("Measuring")
    dense = evaluate(network, dataset.evaluation.sample(_FIRST), dataset.task)
    say("Checking groups of coupled layers")
    grouped = with_groups(network, lambda share: say(f"Checking groups of coupled layers, {share:.0%}"))
    return Opened(grouped, replace(dataset, task=dense.task))


def needs_architecture(network_file: str) -> bool:
    """True if a file of that name holds weights alone."""
    return Path(network_file).suffix.lower() in WEIGHTS


@cache
def installed() -> tuple[Architecture, ...]:
    """The architectures of the libraries that are installed; they are imported at the first call."""
    return available()


def _network(files: Files, shipped: Architectures, say: Say) -> tuple[Network, tuple[str, ...]]:
    """The network, and what there is to say of its file."""
    settings = files.settings
    say(f"Reading {settings.network_file}")
    if not needs_architecture(settings.network_file):
        return open_pt2(files.network, files.name), ()
    read = read_weights_file(files.network, settings.network_file)
    known = (one for offered in (lambda: shipped, installed) for one in offered())
    architecture = next((one for one in known if one.key == settings.architecture), None)
    if architecture is None:
        raise NetworkError(
            f"{settings.network_file} holds weights alone, and the architecture {settings.architecture!r} is not "
            "known here. Choose another, or bring the whole network as .pt2."
        )
    module = load_into(architecture, read.weights, name=settings.network_file)
    notes = (*read.notes, *((architecture.note,) if architecture.note else ()))
    return trace(module, architecture.example_input(), files.name), notes


def _family(lender: Opened, network: Network) -> tuple[str, ...]:
    """Names of networks of the same architecture: the one that lends its data, those of its kind, and this one.

    Empty if this one has other layers.
    """
    alike = lender.network.layers == network.layers
    return (*(lender.siblings or (lender.network.name,)), network.name) if alike else ()


def _prepared(files: Files, network: Network, say: Say) -> Prepared:
    settings = files.settings
    say(f"Reading {settings.data_file}")
    shape = tuple(network.example_input.shape[1:])
    is_image = len(shape) == 3
    raw = read_data(
        files.data,
        settings.data_file,
        target_column=settings.target or None,
        image_size=(shape[1], shape[2]) if is_image else None,
        grayscale=shape[0] == 1 if is_image else None,
    )
    return _fitted(raw, network, settings.task)


def _fitted(raw: RawData, network: Network, task_name: str) -> Prepared:
    example = network.example_input
    with torch.no_grad():
        answer = network.module(example)
    if answer.dim() == 0 or len(answer) != len(example):
        raise NetworkError(
            f"{network.name} answers {len(example)} example with values of shape {tuple(answer.shape)}, so that they do "
            "not come example by example. If it ends in squeeze(), let it end in squeeze(-1), or leave that out."
        )
    outputs = answer[0].numel()
    task = TASKS[task_name] if task_name else infer_task(raw, outputs)
    return prepare(
        raw,
        task,
        input_shape=tuple(example.shape[1:]),
        classes=outputs if task.name == "classification" else None,
        input_dtype=example.dtype,
        vocabulary=_vocabulary(network),
    )


def _vocabulary(network: Network) -> int | None:
    """How many tokens the network knows, if it reads tokens."""
    embeddings = (layer.shape[0] for layer in network.layers if layer.type == "Embedding")
    return None if network.example_input.is_floating_point() else next(embeddings, None)


def _normalisation(settings: Settings, ready: Prepared) -> Normalisation:
    """The one that was chosen; else bytes run from 0 to 1, and all other values stay as they are."""
    if settings.normalisation:
        return NORMALISATIONS[settings.normalisation]
    return UNIT if ready.raw.inputs.dtype == torch.uint8 else AS_THEY_ARE

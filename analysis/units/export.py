"""Export: a part for each format, whose files were written, loaded back as a stranger would, and measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from analysis.errors import ExportError
from analysis.export.checked import checked
from analysis.export.folder import exports_here
from analysis.export.registry import FORMATS
from analysis.export.shipment import Shipment
from analysis.measure import Measurement, measure
from analysis.measure.quality import Interval
from analysis.units import Case, Message, Say


@dataclass(frozen=True)
class Export:
    """What came of one format.

    Parameters
    ----------
    name : str
        Of :data:`analysis.export.registry.FORMATS`.
    reason : str
        Why the network cannot be written so; empty if it was, and then the rest is known.
    files : mapping
        Bytes of each file by its name.
    exported : str
        The digest of the files in the folder of exports.
    difference, allowed : float
        The largest difference of an output from the network's own, and what it may be.
    examples : int
        How many evaluation examples the files answered.
    quality : mapping
        Every metric of these answers.
    """

    name: str
    reason: str = ""
    files: Mapping[str, int] = field(default_factory=dict)
    exported: str = ""
    difference: float = 0.0
    allowed: float = 0.0
    examples: int = 0
    quality: Mapping[str, Interval] = field(default_factory=dict)

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of each file by its name, as those of :class:`analysis.export.checked.Checked`."""
        return self.files

    @property
    def bytes(self) -> int:
        """Of all its files."""
        return sum(self.files.values())


def parameters(formats: Sequence[str]) -> Message:
    """What the unit wants to know: which formats, by name."""
    return {"formats": list(formats)}


def to_data(export: Export) -> Message:
    """An export as plain data."""
    return asdict(export)


def from_data(data: Mapping[str, Any]) -> Export:
    """The export of :func:`to_data`."""
    quality = {key: Interval(**interval) for key, interval in data["quality"].items()}
    return Export(**{**data, "quality": quality})


def run(case: Case, parameters: Mapping[str, Any], known: Sequence[Message], say: Say) -> Iterator[Message]:
    """Make and check the formats that are not `known`."""
    done = {part["name"] for part in known}
    wanted = [name for name in parameters["formats"] if name not in done]
    if not wanted:
        return
    shipment = pack(case, *measured(case))
    for number, name in enumerate(wanted, start=1):
        yield to_data(made(name, shipment))
        say(number / len(wanted))


def measured(case: Case) -> tuple[Measurement, Measurement]:
    """The measurements of the dense network and of the plan's; the same one twice for the dense plan."""
    dense = measure(case.network, case.split, case.dataset.task)
    if case.plan.is_dense:
        return dense, dense
    return dense, measure(case.pruned, case.split, dense.evaluation.task, dense=dense)


def pack(case: Case, dense: Measurement, now: Measurement) -> Shipment:
    """What leaves the house, with what :func:`measured` found."""
    return Shipment(
        dense=case.network,
        pruned=case.pruned,
        plan=case.plan,
        selection=case.selection,
        recovered=case.recovered,
        dataset=case.dataset,
        split=case.split,
        dense_numbers=dense.numbers(),
        numbers=now.numbers(),
    )


def made(name: str, shipment: Shipment) -> Export:
    """Write a format, check it and keep its files; that a network cannot leave in it is a finding, too.

    Raises
    ------
    ExportsError
        If the files cannot be kept.
    UnfinishedError
        If the machine did not bring it to its end.
    """
    try:
        found = checked(FORMATS[name], shipment)
    except ExportError as refusal:
        return Export(name, str(refusal))
    return Export(
        name,
        files={file: len(content) for file, content in found.files.items()},
        exported=exports_here().put(found.files),
        difference=found.difference,
        allowed=found.allowed,
        examples=found.examples,
        quality=found.quality,
    )

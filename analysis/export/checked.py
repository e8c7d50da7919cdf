"""No export leaves unchecked: it is loaded back as a stranger would, compared and measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from analysis.errors import ExportError, PrunescopeError
from analysis.export.registry import Files, Format
from analysis.export.shipment import Shipment
from analysis.export.unfinished import UnfinishedError, machine_words
from analysis.measure.quality import Interval, assess, quality
from analysis.network import first_line


@dataclass(frozen=True, eq=False)
class Checked:
    """An export that answers as the network does.

    Parameters
    ----------
    name : str
        The format's.
    files : dict
        What to hand over: content by file name.
    difference : float
        The largest absolute difference between its answers and the network's, over all `examples`.
    allowed : float
        The largest that would have passed: the format's tolerance times the network's largest answer, or times 1 if
        that is smaller.
    quality : mapping
        The task's metrics of its answers, with 95% intervals, by key.
    examples : int
        How many it was compared and measured on.
    """

    name: str
    files: Files
    difference: float
    allowed: float
    quality: Mapping[str, Interval]
    examples: int

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file by its name."""
        return {name: len(content) for name, content in self.files.items()}

    @property
    def bytes(self) -> int:
        """The size of all its files."""
        return sum(self.sizes.values())


def checked(form: Format, shipment: Shipment) -> Checked:
    """Write a format, load its files back, compare and measure their answers.

    Raises
    ------
    ExportError
        If the network cannot be written in this format, or what was written answers otherwise.
    UnfinishedError
        If the disk or memory is full, or a process was ended: it says nothing of the format.
    """
    examples, expected = shipment.examples, shipment.expected
    try:
        files = form.write(shipment)
        found = form.answers(files, examples.inputs, shipment.dense)
    except Exception as error:
        if isinstance(error, UnfinishedError):
            raise
        if said := machine_words(error):
            raise UnfinishedError(
                f"{form.label} was not finished on this machine: {said}. Make room, and export again."
            ) from error
        if isinstance(error, PrunescopeError):
            raise
        raise ExportError(  # what a format's own library says of an odd network
            f"{form.label} cannot be made of {shipment.pruned.name}: {first_line(error)}. {_REMEDY}"
        ) from error
    if found.shape != expected.shape or not bool(torch.isfinite(found).all()):
        raise ExportError(
            f"{form.label} answers with shape {tuple(found.shape)} where the network answers "
            f"{tuple(expected.shape)}, or with NaN. {_REMEDY}"
        )
    difference = float((found - expected).abs().max())
    allowed = form.tolerance * max(1.0, float(expected.abs().max()))
    if difference > allowed:
        raise ExportError(
            f"{form.label} answers otherwise than the network: by up to {difference:.2g} on {len(examples):,} "
            f"examples. {_REMEDY}"
        )
    return Checked(
        form.name, files, difference, allowed, quality(assess(shipment.task, examples, found)), len(examples)
    )


_REMEDY = "It is not handed out; choose another format."

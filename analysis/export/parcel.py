"""Everything together: a folder for each format, the plan and the model card on top."""

from __future__ import annotations

from collections.abc import Mapping


def parcel(formats: Mapping[str, Mapping[str, bytes]], notes: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of several formats by their paths, and what is said of them all.

    Parameters
    ----------
    formats : mapping
        By a format's name its files, by their names.
    notes : mapping
        As :func:`analysis.export.bundle.notes`.
    """
    inside = {f"{name}/{file}": content for name, files in formats.items() for file, content in files.items()}
    return {**notes, **inside}

"""Targets as their file holds them to class numbers or values, and which task they are for."""

from __future__ import annotations

import torch
from torch import Tensor

from analysis.errors import DataError
from analysis.loading.raw import RawData
from analysis.tasks import BINARY, CLASSIFICATION, REGRESSION, Task

_SHOWN = 5  # class names in a message


def infer_task(raw: RawData, outputs: int) -> Task:
    """The task that the targets are for, of a network with `outputs` outputs.

    Classification if they are whole numbers (or one-hot rows, or named classes) and the network has an output
    for each class; binary if they are 0 and 1 and it has a single output; else regression.
    """
    whole = _is_whole(raw.targets)
    if outputs == 1:
        flat = raw.targets.reshape(-1) if len(raw) == raw.targets.numel() else None
        ones = flat is not None and whole and flat.unique().tolist() == [0, 1]
        return BINARY if ones or (_is_one_hot(raw.targets) and raw.targets.shape[1] == 2) else REGRESSION
    return CLASSIFICATION if whole else REGRESSION


def labels(raw: RawData, task: Task, classes: int | None) -> tuple[Tensor, tuple[str, ...], str]:
    """Targets (N,), the names of the classes, and what was done to the targets in words.

    `classes` is how many the network tells apart; None to take the data's word. Class numbers are int64 and
    every class has a name, its number if the file gives none. Values are float32 and have no names.

    Raises
    ------
    DataError
        If the targets are not what the task needs; with what to do about it.
    """
    targets, note = _column(raw, task, classes)
    if targets.is_floating_point() and not torch.isfinite(targets).all():
        bad = int((~torch.isfinite(targets)).sum())
        raise DataError(f"{bad:,} of the targets in {raw.name} are NaN or infinite. Drop those examples.")
    if not task.is_classification:
        if raw.class_names:
            raise DataError(
                f"The targets of {raw.name} are class names ({_listed(raw.class_names)}); regression needs "
                "numbers. Choose the task classification, or another column."
            )
        return targets.float(), (), note
    if not _is_whole(targets):
        raise DataError(
            f"{raw.name} holds labels between two classes; labels are whole numbers from 0. Round them, "
            "or choose the task regression if they are values."
        )
    numbers = targets.to(torch.int64)
    count = 2 if task.name == "binary" else classes
    _check_range(raw, numbers, count)
    return numbers, _class_names(raw, numbers, count), note


def _column(raw: RawData, task: Task, classes: int | None) -> tuple[Tensor, str]:
    """The targets as one column."""
    targets = raw.targets
    if targets.numel() == len(targets):
        return targets.reshape(-1), ""
    if task.is_classification and _is_one_hot(targets):
        columns, expected = targets.shape[1], 2 if task.name == "binary" else classes
        if expected is not None and columns != expected:
            raise DataError(
                f"The one-hot targets of {raw.name} tell {columns:,} classes apart, the network {expected:,}. "
                "Give the targets that the network was trained on."
            )
        return targets.argmax(dim=1), "one-hot targets read as class numbers"
    raise DataError(
        f"The targets of {raw.name} have shape {tuple(targets.shape)}: give one target for each example, "
        "shape (N,); for classes their number (y.argmax(axis=1) of scores)."
    )


def _check_range(raw: RawData, numbers: Tensor, count: int | None) -> None:
    low, high = int(numbers.min()), int(numbers.max())
    if low == high:
        raise DataError(
            f"Every example in {raw.name} is of class {_called(raw, low)}: an accuracy on one class says little. "
            "Give examples of all classes."
        )
    if numbers.unique().tolist() == [-1, 1]:
        raise DataError(f"The labels of {raw.name} are -1 and 1. Write 0 and 1: y = (y > 0).")
    if low >= 0 and (count is None or high < count):
        return
    runs = f"The labels of {raw.name} run from {low:,} to {high:,}"
    if low < 0:
        raise DataError(f"{runs}; they are whole numbers from 0. Drop the examples without a label.")
    assert count is not None
    said = f"{runs}, but the network tells {count:,} classes apart (labels 0 to {count - 1:,})."
    if low == 1 and high == count:
        raise DataError(f"{said} They count from 1: subtract 1 from every label.")
    distinct = len(numbers.unique())
    if distinct > count:
        raise DataError(f"{said} There are {distinct:,} different labels: choose the network they belong to.")
    raise DataError(f"{said} Renumber them from 0 in the order of training.")


def _class_names(raw: RawData, numbers: Tensor, count: int | None) -> tuple[str, ...]:
    names = raw.class_names
    if not names:
        return tuple(str(i) for i in range(count or int(numbers.max()) + 1))
    if count is not None and len(names) != count:
        more = (
            "Leave out the classes that it does not know."
            if len(names) > count
            else "Name all of them, in the order of training; in an image folder by an empty folder for each "
            "class without pictures."
        )
        raise DataError(
            f"{raw.name} names {len(names):,} classes ({_listed(names)}), the network tells {count:,} apart. {more}"
        )
    if int(numbers.max()) >= len(names):
        raise DataError(
            f"{raw.name} names {len(names):,} classes but has the label {int(numbers.max()):,}. Name them all."
        )
    return names


def _is_whole(targets: Tensor) -> bool:
    return not targets.is_floating_point() or bool((targets == targets.floor()).all())


def _is_one_hot(targets: Tensor) -> bool:
    """True for rows (N, classes) with a single 1 and else zeros."""
    if targets.dim() != 2 or targets.shape[1] < 2:
        return False
    return bool(((targets == 0) | (targets == 1)).all()) and bool((targets.sum(dim=1) == 1).all())


def _called(raw: RawData, label: int) -> str:
    return f"“{raw.class_names[label]}”" if 0 <= label < len(raw.class_names) else f"{label:,}"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")

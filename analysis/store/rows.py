"""Trials as rows of a table, and back."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row

from analysis.history import Label, Summary, Trial, granularity_of
from analysis.measure.cost import Cost
from analysis.measure.latency import Latency
from analysis.measure.measurement import Numbers
from analysis.measure.quality import Interval
from analysis.measure.size import Size
from analysis.pruning.plan import Plan
from analysis.pruning.plan_json import from_json, key_of, to_json
from analysis.store.database import StoreError


def trial_to_row(trial: Trial) -> dict[str, Any]:
    """All of a row but whose trial it is, on how many examples, and its label."""
    now = time.time()
    return {
        "plan": to_json(trial.plan),
        "parent": to_json(trial.parent) if trial.parent else None,
        "numbers": numbers_to_json(trial.measurement),
        "measured_at": now,
        "changed_at": now,
        **summary_columns(trial.plan, trial.parent, trial.measurement),
        **label_to_row(Label()),
    }


def summary_columns(plan: Plan, parent: Plan | None, numbers: Numbers) -> dict[str, Any]:
    """What a list shows of a trial, read off its parts."""
    change = next(iter(numbers.change.values()), None)
    return {
        "key": key_of(plan),
        "parent_key": key_of(parent) if parent else "",
        "criterion": plan.criterion if plan.cuts else "",  # without cuts nothing is ranked
        "granularity": granularity_of(plan),
        "is_recovered": bool(plan.recovered),
        **_interval_columns("headline", numbers.headline),
        **_interval_columns("change", change),
        "parameters": numbers.cost.parameters,
        "nonzero_connections": numbers.cost.nonzero_connections,
        "macs": numbers.cost.macs,
        "saved": numbers.size.saved,
        "best": numbers.size.best,
        "latency": numbers.latency.median,
        "dense_latency": numbers.dense_latency.median,
        "layers": json.dumps(list(numbers.cost.layer_nonzero.values())),
    }


def trial_from_row(row: Row[Any]) -> Trial:
    """The trial in full; StoreError or PlanError if it is damaged."""
    parent = from_json(row.parent) if row.parent else None
    return Trial(from_json(row.plan), numbers_from_json(row.numbers), parent)


def summary_from_row(row: Row[Any]) -> Summary:
    """The trial in a list."""
    return Summary(
        id=row.id,
        key=row.key,
        parent=row.parent_key,
        images=row.images,
        measured_at=row.measured_at,
        criterion=row.criterion,
        granularity=row.granularity,
        is_recovered=row.is_recovered,
        headline=interval(row.headline_value, row.headline_low, row.headline_high),
        change=None if not row.granularity else interval(row.change_value, row.change_low, row.change_high),
        parameters=row.parameters,
        nonzero_connections=row.nonzero_connections,
        macs=row.macs,
        saved=row.saved,
        best=row.best,
        latency=row.latency,
        dense_latency=row.dense_latency,
        layers=tuple(json.loads(row.layers)),
        label=Label(row.name, row.note, row.star, tuple(json.loads(row.tags))),
    )


def label_to_row(label: Label) -> dict[str, Any]:
    """The columns of a label; PostgreSQL's texts hold no NUL."""
    name, note = (text.replace("\0", "") for text in (label.name, label.note))
    return {"name": name, "note": note, "star": label.star, "tags": json.dumps(label.tags)}


def numbers_to_json(numbers: Numbers) -> str:
    """Numbers as JSON text."""
    parts = {name: getattr(numbers, name) for name in ("cost", "size", "latency", "dense_latency")}
    content = {name: asdict(part) for name, part in parts.items()}
    for name in ("quality", "change"):
        content[name] = {key: asdict(interval) for key, interval in getattr(numbers, name).items()}
    return json.dumps(content)


def numbers_from_json(text: str) -> Numbers:
    """The numbers of a JSON text that :func:`numbers_to_json` wrote; StoreError if it did not."""
    try:
        return _numbers(json.loads(text))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError("A stored trial is damaged: its numbers cannot be read.") from error


def _numbers(content: Mapping[str, Any]) -> Numbers:
    return Numbers(
        quality={key: Interval(**value) for key, value in content["quality"].items()},
        change={key: Interval(**value) for key, value in content["change"].items()},
        cost=Cost(**content["cost"]),
        size=Size(**content["size"]),
        latency=Latency(**content["latency"]),
        dense_latency=Latency(**content["dense_latency"]),
    )


def _interval_columns(name: str, interval: Interval | None) -> dict[str, float | None]:
    return {
        f"{name}_{part}": getattr(interval, part) if interval is not None else None
        for part in ("value", "low", "high")
    }


def interval(*parts: float | None) -> Interval:
    """An interval of columns: SQLite keeps NaN as NULL."""
    return Interval(*(math.nan if part is None else part for part in parts))

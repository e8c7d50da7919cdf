"""What was measured, kept: trials, the plan in force, sensitivity points, findings. SQLite, or any SQLAlchemy URL.

Everything is written the moment it is known, so that a refresh, a crash or a restart loses nothing.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from analysis.datasets import Split
from analysis.errors import PrunescopeError
from analysis.history import Trial
from analysis.measure.cost import Cost
from analysis.measure.latency import Latency
from analysis.measure.measurement import Numbers
from analysis.measure.quality import Interval
from analysis.measure.size import Size
from analysis.network import Network
from analysis.pruning.plan import Granularity, Plan
from analysis.pruning.plan_json import from_json, to_json
from analysis.sensitivity import Sensitivity

_NAME = String(200)
_METADATA = MetaData()
_TRIALS = Table(
    "trials",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("session", String(64), index=True),
    Column("network", _NAME),
    Column("images", Integer),
    Column("plan", Text),
    Column("parent", Text),
    Column("numbers", Text),
    Column("measured_at", Float),
)
_PLANS = Table(
    "plans_in_force",
    _METADATA,
    Column("session", String(64), primary_key=True),
    Column("network", _NAME, primary_key=True),
    Column("plan", Text),
    Column("changed_at", Float),
)
_SENSITIVITIES = Table(
    "sensitivities",
    _METADATA,
    Column("subject", String(64), primary_key=True),
    Column("target", String(500), primary_key=True),
    Column("ratio", Float, primary_key=True),
    Column("value", Float),
    Column("low", Float),
    Column("high", Float),
    Column("examples", Integer),
    Column("measured_at", Float),
)
_FINDINGS = Table(
    "findings",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("subject", String(64), index=True),
    Column("content", Text),
    Column("measured_at", Float),
)
_FINDINGS_KEPT = 50_000  # parts; the oldest are forgotten, and can be found again


class StoreError(PrunescopeError):
    """The history cannot be kept."""


@dataclass(frozen=True)
class Subject:
    """What a sensitivity point is about: equal for all sessions on the same weights, data and criterion."""

    weights: str
    data: str
    criterion: str
    granularity: Granularity

    @property
    def key(self) -> str:
        """A digest to look it up by."""
        return hashlib.sha256("\0".join(asdict(self).values()).encode()).hexdigest()


def subject(network: Network, split: Split, criterion: str, granularity: Granularity) -> Subject:
    """The subject of a sweep."""
    return Subject(*digests(network, split), criterion, granularity)


def digests(network: Network, split: Split) -> tuple[str, str]:
    """What tells a network's weights, and the examples of a split, from all others."""
    weights = [(name, value) for name, value in sorted(network.module.state_dict().items())]
    data = [("inputs", split.inputs), ("targets", split.targets)]
    return _digest(weights), _digest(data)


class Store:
    """A database of trials, sensitivity points and findings of studies; safe to share between threads.

    Parameters
    ----------
    url : str
        As SQLAlchemy takes it: ``sqlite:///file.db``, ``postgresql+psycopg://...``, ``sqlite://`` for one
        that is forgotten at the end.

    Raises
    ------
    StoreError
        If it cannot be opened or written, here and in every method.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self._engine = create_engine(url)
            if self._engine.url.get_backend_name() == "sqlite":
                _prepare_sqlite(self._engine)
            _METADATA.create_all(self._engine)
        except (SQLAlchemyError, OSError, ImportError) as error:
            raise _refusal(url, error) from error

    def add_trial(self, session: str, images: int, trial: Trial) -> None:
        """Keep a trial of a session, measured on `images` examples; the first of equal plans stays."""
        plan, parent = to_json(trial.plan), to_json(trial.parent) if trial.parent else None
        table = _TRIALS.c
        same = (
            (table.session == session)
            & (table.network == trial.plan.network)
            & (table.images == images)
            & (table.plan == plan)
        )
        with self._transaction() as connection:
            if connection.execute(select(table.id).where(same)).first() is None:
                row = {"session": session, "network": trial.plan.network, "images": images, "plan": plan}
                row |= {"parent": parent, "numbers": numbers_to_json(trial.measurement)}
                connection.execute(insert(_TRIALS).values(**row, measured_at=time.time()))

    def trials(self, session: str, network: str) -> list[tuple[int, Trial]]:
        """A session's trials of one network with their number of examples, oldest first."""
        table = _TRIALS.c
        wanted = (table.session == session) & (table.network == network)
        rows = self._rows(select(_TRIALS).where(wanted).order_by(table.id))
        return [
            (
                row.images,
                Trial(
                    from_json(row.plan),
                    numbers_from_json(row.numbers),
                    from_json(row.parent) if row.parent else None,
                ),
            )
            for row in rows
        ]

    def put_plan(self, session: str, plan: Plan) -> None:
        """Note the plan that a session has in force for its network."""
        row = {"session": session, "network": plan.network, "plan": to_json(plan)}
        self._replace(_PLANS, ("session", "network"), row | {"changed_at": time.time()})

    def plan(self, session: str, network: str) -> Plan | None:
        """The plan a session had in force, or None."""
        table = _PLANS.c
        rows = self._rows(select(table.plan).where((table.session == session) & (table.network == network)))
        return from_json(rows[0].plan) if rows else None

    def add_sensitivity(self, about: Subject, point: Sensitivity) -> None:
        """Keep a measured point; a later one replaces it."""
        row = {"subject": about.key, "target": point.target, "ratio": point.ratio}
        row |= {**asdict(point.quality), "examples": point.examples, "measured_at": time.time()}
        self._replace(_SENSITIVITIES, ("subject", "target", "ratio"), row)

    def sensitivities(self, about: Subject) -> list[Sensitivity]:
        """All points measured of a subject, by any session."""
        table = _SENSITIVITIES.c
        rows = self._rows(
            select(_SENSITIVITIES).where(table.subject == about.key).order_by(table.target, table.ratio)
        )
        return [Sensitivity(r.target, r.ratio, Interval(r.value, r.low, r.high), r.examples) for r in rows]

    def add_findings(self, about: str, parts: Sequence[dict[str, Any]]) -> None:
        """Keep parts of what a study found, in this order, under a digest of what it is about."""
        rows = [{"subject": about, "content": json.dumps(part), "measured_at": time.time()} for part in parts]
        with self._transaction() as connection:
            connection.execute(insert(_FINDINGS), rows)
            newest = connection.execute(select(func.max(_FINDINGS.c.id))).scalar_one()
            connection.execute(delete(_FINDINGS).where(_FINDINGS.c.id <= newest - _FINDINGS_KEPT))

    def findings(self, about: str) -> list[dict[str, Any]]:
        """The parts kept under a digest, in the order they were found; those that are damaged are left out."""
        rows = self._rows(
            select(_FINDINGS.c.content).where(_FINDINGS.c.subject == about).order_by(_FINDINGS.c.id)
        )
        return [part for row in rows if (part := _part(row.content)) is not None]

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _rows(self, query: Any) -> Sequence[Any]:
        with self._transaction() as connection:
            return connection.execute(query).all()

    def _replace(self, table: Table, key: tuple[str, ...], row: dict[str, Any]) -> None:
        condition = delete(table)
        for name in key:
            condition = condition.where(table.c[name] == row[name])
        with self._transaction() as connection:
            connection.execute(condition)
            connection.execute(insert(table).values(**row))

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """A connection whose work counts as a whole or not at all."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise _refusal(self.url, error) from error


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


def _numbers(content: dict[str, Any]) -> Numbers:
    return Numbers(
        quality={key: Interval(**value) for key, value in content["quality"].items()},
        change={key: Interval(**value) for key, value in content["change"].items()},
        cost=Cost(**content["cost"]),
        size=Size(**content["size"]),
        latency=Latency(**content["latency"]),
        dense_latency=Latency(**content["dense_latency"]),
    )


def _part(text: str) -> dict[str, Any] | None:
    try:
        part = json.loads(text)
    except ValueError:
        return None
    return part if isinstance(part, dict) else None


def _digest(tensors: Sequence[tuple[str, torch.Tensor]]) -> str:
    digest = hashlib.sha256()
    for name, value in tensors:
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _prepare_sqlite(engine: Engine) -> None:
    """Make the folder, and let readers and a writer work side by side."""
    if engine.url.database:
        Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA busy_timeout=5000")


def _refusal(url: str, error: Exception) -> StoreError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return StoreError(
        f"The history at {_without_password(url)} cannot be used ({reason}). Name another database with "
        "PRUNESCOPE_DATABASE_URL, or make its folder writable."
    )


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2] if "@" in rest else url

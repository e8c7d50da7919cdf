"""The store: trials, the plan in force, sensitivity points and findings, kept in a database."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from threading import Lock
from typing import Any

from cachetools import LRUCache
from sqlalchemy import delete, func, insert, select, update

from analysis.history import Label, Summary, Trial
from analysis.pruning.plan import Plan
from analysis.pruning.plan_json import from_json, key_of, to_json
from analysis.sensitivity import Sensitivity
from analysis.store.database import Database, StoreError
from analysis.store.rows import interval, label_to_row, summary_from_row, trial_from_row, trial_to_row
from analysis.store.subjects import Subject
from analysis.store.tables import FINDINGS, PLANS, SENSITIVITIES, TRIALS

_FINDINGS_KEPT = 50_000  # parts; the oldest are forgotten, and can be found again
_LISTED = 16  # lists that are kept in memory
_FEW = 500  # trials that are asked for one by one
_TRIAL = ("session", "network", "images", "key")


class Store:
    """A database of trials, sensitivity points and findings of studies; safe to share between threads.

    Parameters
    ----------
    url : str
        As SQLAlchemy takes it: ``sqlite:///file.db``, ``postgresql+psycopg://user@host/database``.

    Raises
    ------
    StoreError
        If it cannot be opened or written, here and in every method.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._database = Database(url)
        self._listed: LRUCache[tuple[str, str], dict[int, tuple[float, Summary]]] = LRUCache(_LISTED)
        self._lock = Lock()

    def add_trial(self, session: str, images: int, trial: Trial) -> int:
        """Keep a trial of a session, measured on `images` examples; the first of equal plans stays. Returns its id."""
        place = {"session": session, "network": trial.plan.network, "images": images}
        self._database.put(TRIALS, _TRIAL, place | trial_to_row(trial), replace=False)
        found = self.find(session, images, trial.plan)
        assert found is not None
        return found

    def find(self, session: str, images: int, plan: Plan) -> int | None:
        """The id of a session's trial of a plan on that many examples, or None."""
        wanted = (session, plan.network, images, key_of(plan))
        same = [TRIALS.c[name] == value for name, value in zip(_TRIAL, wanted, strict=True)]
        rows = self._database.rows(select(TRIALS.c.id).where(*same))
        return rows[0].id if rows else None

    def summaries(self, session: str, network: str) -> list[Summary]:
        """A session's trials of one network as a list shows them, oldest first.

        Those that were read before and have not changed since are not read again, whoever wrote them.
        """
        table = TRIALS.c
        wanted = (table.session == session) & (table.network == network) & table.key.is_not(None)
        stamps = {
            row.id: row.changed_at
            for row in self._database.rows(select(table.id, table.changed_at).where(wanted))
        }
        with self._lock:
            known = self._listed.get((session, network), {})
        stale = [
            number for number, stamp in stamps.items() if number not in known or known[number][0] != stamp
        ]
        if stale:
            some = wanted & table.id.in_(stale) if len(stale) <= _FEW else wanted
            shown = [column for column in table if column.name not in ("plan", "parent", "numbers")]
            rows = self._database.rows(select(*shown).where(some))
            known = known | {row.id: (row.changed_at, summary_from_row(row)) for row in rows}
            with self._lock:
                self._listed[session, network] = known
        return [known[number][1] for number in sorted(stamps)]

    def trials(self, session: str, ids: Sequence[int]) -> dict[int, Trial]:
        """Trials of a session in full, by id; those that it does not have are left out."""
        wanted = (TRIALS.c.session == session) & TRIALS.c.id.in_(ids)
        rows = self._database.rows(select(TRIALS).where(wanted))
        return {row.id: trial_from_row(row) for row in rows}

    def trial(self, session: str, number: int) -> Trial:
        """One trial of a session in full; StoreError if there is none of that id."""
        found = self.trials(session, [number])
        if not found:
            raise StoreError(f"This history has no trial {number}. Choose another in the list.")
        return found[number]

    def put_label(self, session: str, number: int, label: Label) -> None:
        """Say something of a session's trial; what was said before is replaced."""
        mine = (TRIALS.c.session == session) & (TRIALS.c.id == number)
        with self._database.writing() as connection:
            changed = update(TRIALS).where(mine).values(**label_to_row(label), changed_at=time.time())
            connection.execute(changed)

    def put_plan(self, session: str, plan: Plan) -> None:
        """Note the plan that a session has in force for its network."""
        row = {"session": session, "network": plan.network, "plan": to_json(plan)}
        self._database.put(PLANS, ("session", "network"), row | {"changed_at": time.time()})

    def plan(self, session: str, network: str) -> Plan | None:
        """The plan a session had in force, or None."""
        mine = (PLANS.c.session == session) & (PLANS.c.network == network)
        rows = self._database.rows(select(PLANS.c.plan).where(mine))
        return from_json(rows[0].plan) if rows else None

    def add_sensitivity(self, about: Subject, point: Sensitivity) -> None:
        """Keep a measured point; a later one replaces it."""
        row = {"subject": about.key, "target": point.target, "ratio": point.ratio}
        row |= {**asdict(point.quality), "examples": point.examples, "measured_at": time.time()}
        self._database.put(SENSITIVITIES, ("subject", "target", "ratio"), row)

    def sensitivities(self, about: Subject) -> list[Sensitivity]:
        """All points measured of a subject, by any session."""
        table = SENSITIVITIES.c
        rows = self._database.rows(
            select(SENSITIVITIES).where(table.subject == about.key).order_by(table.target, table.ratio)
        )
        return [Sensitivity(r.target, r.ratio, interval(r.value, r.low, r.high), r.examples) for r in rows]

    def add_findings(self, about: str, parts: Sequence[dict[str, Any]]) -> None:
        """Keep parts of what a study found, in this order, under a digest of what it is about."""
        rows = [{"subject": about, "content": json.dumps(part), "measured_at": time.time()} for part in parts]
        with self._database.writing() as connection:
            connection.execute(insert(FINDINGS), rows)
            newest = connection.execute(select(func.max(FINDINGS.c.id))).scalar_one()
            connection.execute(delete(FINDINGS).where(FINDINGS.c.id <= newest - _FINDINGS_KEPT))

    def findings(self, about: str) -> list[dict[str, Any]]:
        """The parts kept under a digest, in the order they were found; those that are damaged are left out."""
        rows = self._database.rows(
            select(FINDINGS.c.content).where(FINDINGS.c.subject == about).order_by(FINDINGS.c.id)
        )
        return [part for row in rows if (part := _part(row.content)) is not None]

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()


def _part(text: str) -> dict[str, Any] | None:
    try:
        part = json.loads(text)
    except ValueError:
        return None
    return part if isinstance(part, dict) else None

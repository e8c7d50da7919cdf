"""What lists show of a trial, labels, and one trial a plan: ten thousand trials are listed without reading their plans."""

import hashlib
import json
import logging
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_COLUMNS = (
    sa.Column("key", sa.String(64)),
    sa.Column("parent_key", sa.String(64)),
    sa.Column("changed_at", sa.Float),
    sa.Column("criterion", sa.String(200)),
    sa.Column("granularity", sa.String(20)),
    sa.Column("is_recovered", sa.Boolean),
    *(sa.Column(f"headline_{part}", sa.Float) for part in ("value", "low", "high")),
    *(sa.Column(f"change_{part}", sa.Float) for part in ("value", "low", "high")),
    *(
        sa.Column(count, sa.BigInteger)
        for count in ("parameters", "nonzero_connections", "macs", "saved", "best")
    ),
    sa.Column("latency", sa.Float),
    sa.Column("dense_latency", sa.Float),
    sa.Column("layers", sa.Text),
    sa.Column("name", sa.Text),
    sa.Column("note", sa.Text),
    sa.Column("star", sa.Boolean),
    sa.Column("tags", sa.Text),
)
_log = logging.getLogger("prunescope")


def upgrade() -> None:
    for column in _COLUMNS:
        op.add_column("trials", column)
    _fill(op.get_bind())
    op.drop_index("ix_trials_session", "trials")
    op.create_index("one_trial_a_plan", "trials", ["session", "network", "images", "key"], unique=True)


def _fill(connection: sa.Connection) -> None:
    """Read the new columns off the old ones. What cannot be read stays as it is, out of the lists; of doubles the first stays."""
    trials = sa.Table("trials", sa.MetaData(), autoload_with=connection)
    seen = set()
    for row in connection.execute(sa.select(trials).order_by(trials.c.id)).all():
        mine = trials.c.id == row.id
        try:
            values = _columns(row)
        except Exception as error:  # whatever a damaged row may do
            _log.warning(
                "trial %s of the history cannot be read: %s: %s", row.id, type(error).__name__, error
            )
            continue
        place = (row.session, row.network, row.images, values["key"])
        if place in seen:
            connection.execute(sa.delete(trials).where(mine))
            continue
        seen.add(place)
        connection.execute(sa.update(trials).where(mine).values(**values))


def _columns(row: Any) -> dict[str, Any]:
    """The new columns, from texts as they were then: later versions read and write others, this does not change."""
    plan, numbers = json.loads(row.plan), json.loads(row.numbers)
    removes = {cut["granularity"] for cut in plan["cuts"]}
    removes |= {"channel" for pick in plan.get("picks", ()) if pick["removed"]}
    found = {
        "key": _key(plan),
        "parent_key": _key(json.loads(row.parent)) if row.parent else "",
        "criterion": plan["criterion"] if plan["cuts"] else "",
        "granularity": "mixed" if len(removes) > 1 else next(iter(removes), ""),
        "is_recovered": bool(plan.get("recovered")),
        "latency": numbers["latency"]["median"],
        "dense_latency": numbers["dense_latency"]["median"],
        "layers": json.dumps(list(numbers["cost"]["layer_nonzero"].values())),
        "changed_at": row.measured_at,
        "name": "",
        "note": "",
        "star": False,
        "tags": "[]",
        **{count: numbers["cost"][count] for count in ("parameters", "nonzero_connections", "macs")},
        **{count: numbers["size"][count] for count in ("saved", "best")},
    }
    for name, intervals in (("headline", numbers["quality"]), ("change", numbers["change"])):
        first = next(iter(intervals.values()), None) if name == "change" else next(iter(intervals.values()))
        found |= {f"{name}_{part}": first[part] if first else None for part in ("value", "low", "high")}
    return found


def _key(plan: dict[str, Any]) -> str:
    content = {name: value for name, value in plan.items() if value and name != "schema"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

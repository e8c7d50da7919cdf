"""What lists show of a trial, labels, and one trial a plan: ten thousand trials are listed without reading their plans."""

import json
import logging

import sqlalchemy as sa
from alembic import op

from analysis.errors import PrunescopeError
from analysis.pruning.plan_json import from_json
from analysis.store.rows import numbers_from_json, summary_columns

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
_NAMES = {column.name for column in _COLUMNS}
_log = logging.getLogger("prunescope")


def upgrade() -> None:
    for column in _COLUMNS:
        op.add_column("trials", column)
    _fill(op.get_bind())
    op.drop_index("ix_trials_session", "trials")
    op.create_index("one_trial_a_plan", "trials", ["session", "network", "images", "key"], unique=True)


def _fill(connection: sa.Connection) -> None:
    """Read the new columns off the old ones. What is damaged or doubled goes: nothing could show it."""
    trials = sa.Table("trials", sa.MetaData(), autoload_with=connection)
    seen = set()
    for row in connection.execute(sa.select(trials).order_by(trials.c.id)).all():
        try:
            parent = from_json(row.parent) if row.parent else None
            found = summary_columns(from_json(row.plan or ""), parent, numbers_from_json(row.numbers or ""))
        except PrunescopeError as error:
            _log.warning("trial %s of the history is damaged and dropped: %s", row.id, error)
            found = None
        mine = trials.c.id == row.id
        place = (row.session, row.network, row.images, found["key"] if found else "")
        if found is None or place in seen:
            connection.execute(sa.delete(trials).where(mine))
            continue
        seen.add(place)
        values = {name: value for name, value in found.items() if name in _NAMES}  # later versions know more
        values |= {
            "name": "",
            "note": "",
            "star": False,
            "tags": json.dumps([]),
            "changed_at": row.measured_at,
        }
        connection.execute(sa.update(trials).where(mine).values(**values))

"""Trials, plans in force, sensitivities and findings, as they were before migrations were counted."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "trials",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("session", sa.String(64), index=True),
        sa.Column("network", sa.String(200)),
        sa.Column("images", sa.Integer),
        sa.Column("plan", sa.Text),
        sa.Column("parent", sa.Text),
        sa.Column("numbers", sa.Text),
        sa.Column("measured_at", sa.Float),
    )
    op.create_table(
        "plans_in_force",
        sa.Column("session", sa.String(64), primary_key=True),
        sa.Column("network", sa.String(200), primary_key=True),
        sa.Column("plan", sa.Text),
        sa.Column("changed_at", sa.Float),
    )
    op.create_table(
        "sensitivities",
        sa.Column("subject", sa.String(64), primary_key=True),
        sa.Column("target", sa.String(500), primary_key=True),
        sa.Column("ratio", sa.Float, primary_key=True),
        sa.Column("value", sa.Float),
        sa.Column("low", sa.Float),
        sa.Column("high", sa.Float),
        sa.Column("examples", sa.Integer),
        sa.Column("measured_at", sa.Float),
    )
    op.create_table(
        "findings",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("subject", sa.String(64), index=True),
        sa.Column("content", sa.Text),
        sa.Column("measured_at", sa.Float),
    )

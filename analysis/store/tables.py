"""The tables as this version reads and writes them; ``migrations/versions`` says how they came about."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text

NAME = String(200)
KEY = String(64)
METADATA = MetaData()

TRIALS = Table(
    "trials",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("session", String(64)),
    Column("network", NAME),
    Column("images", Integer),
    Column("key", KEY),
    Column("parent_key", KEY),
    Column("plan", Text),
    Column("parent", Text),
    Column("numbers", Text),
    Column("measured_at", Float),
    Column("changed_at", Float),
    # what a list shows, so that it need not read the three texts above
    Column("criterion", NAME),
    Column("granularity", String(20)),
    Column("is_recovered", Boolean),
    *(Column(f"headline_{part}", Float) for part in ("value", "low", "high")),
    *(Column(f"change_{part}", Float) for part in ("value", "low", "high")),
    *(Column(count, BigInteger) for count in ("parameters", "nonzero_connections", "macs", "saved", "best")),
    Column("latency", Float),
    Column("dense_latency", Float),
    Column("layers", Text),
    # what a person said of it
    Column("name", Text),
    Column("note", Text),
    Column("star", Boolean),
    Column("tags", Text),
    Index("one_trial_a_plan", "session", "network", "images", "key", unique=True),
)
PLANS = Table(
    "plans_in_force",
    METADATA,
    Column("session", String(64), primary_key=True),
    Column("network", NAME, primary_key=True),
    Column("plan", Text),
    Column("changed_at", Float),
)
SENSITIVITIES = Table(
    "sensitivities",
    METADATA,
    Column("subject", KEY, primary_key=True),
    Column("target", String(500), primary_key=True),
    Column("ratio", Float, primary_key=True),
    Column("value", Float),
    Column("low", Float),
    Column("high", Float),
    Column("examples", Integer),
    Column("measured_at", Float),
)
FINDINGS = Table(
    "findings",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("subject", KEY, index=True),
    Column("content", Text),
    Column("measured_at", Float),
)

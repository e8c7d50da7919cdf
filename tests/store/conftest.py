"""Every test of the store that asks for a `url` is run on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import Postgres, postgres, programs


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgres]:
    """A PostgreSQL of our own; tests that need it are skipped where none is installed."""
    if programs() is None:
        pytest.skip("no PostgreSQL is installed here: run python -m tests.install_postgres as root")
    with postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'folder' / 'history.sqlite'}"
    server: Postgres = request.getfixturevalue("postgresql")
    return server.new_database()

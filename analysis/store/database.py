"""A database: opened, brought up to date, and written to so that work counts as a whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, Table, create_engine, event, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from analysis.errors import PrunescopeError

_MIGRATIONS = Path(__file__).parent / "migrations"
_BEFORE_VERSIONS = "0001"  # what databases are that were made before migrations were counted
_MIGRATING = 0x707275  # the number of PostgreSQL's advisory lock
_WAIT_MS = 30_000
_WRITES = "writes"
_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_lock = Lock()  # Alembic keeps what it works on in a module


class StoreError(PrunescopeError):
    """The history cannot be kept."""


class Database:
    """A SQLite or PostgreSQL database; safe to share between threads, and between processes.

    Raises
    ------
    StoreError
        If it cannot be opened or written, here and in every method.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self.engine = create_engine(url, pool_pre_ping=True)
            self._kind = self.engine.url.get_backend_name()
            if self._kind not in _INSERTS:
                raise StoreError(
                    f"The history cannot be kept in {self._kind}: PRUNESCOPE_DATABASE_URL takes sqlite:///file.db or "
                    "postgresql+psycopg://user@host/database."
                )
            if self._kind == "sqlite":
                _prepare_sqlite(self.engine)
            self._bring_up_to_date()
        except (SQLAlchemyError, CommandError, OSError, ImportError) as error:
            raise refusal(url, error) from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read with."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise refusal(self.url, error) from error

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection whose work counts as a whole or not at all, and that waits for others that write."""
        try:
            with self.engine.execution_options(**{_WRITES: True}).begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise refusal(self.url, error) from error

    def rows(self, query: Any) -> Sequence[Any]:
        """All rows of a query."""
        with self.reading() as connection:
            return connection.execute(query).all()

    def put(self, table: Table, key: Sequence[str], row: dict[str, Any], *, replace: bool = True) -> None:
        """Add a row; one that is there already under `key` is replaced, or stays."""
        insert = _INSERTS[self._kind](table).values(**row)
        changed = {name: value for name, value in row.items() if name not in key}
        if replace:
            insert = insert.on_conflict_do_update(index_elements=list(key), set_=changed)
        else:
            insert = insert.on_conflict_do_nothing(index_elements=list(key))
        with self.writing() as connection:
            connection.execute(insert)

    def close(self) -> None:
        """Let go of it."""
        self.engine.dispose()

    def _bring_up_to_date(self) -> None:
        """Carry out the migrations that this database has not seen, all or none; others wait meanwhile."""
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        with _lock, self.engine.execution_options(**{_WRITES: True}).begin() as connection:
            if self._kind == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _MIGRATING})
            config.attributes["connection"] = connection
            is_counted = MigrationContext.configure(connection).get_current_revision() is not None
            if not is_counted and inspect(connection).has_table("trials"):
                command.stamp(config, _BEFORE_VERSIONS)
            command.upgrade(config, "head")


def refusal(url: str, error: Exception) -> StoreError:
    """What a user reads of an error of the database."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, CommandError):
        reason = f"it was written by a newer version of Prunescope: {reason}"
    return StoreError(
        f"The history at {_without_password(url)} cannot be used ({reason}). Name another database with "
        "PRUNESCOPE_DATABASE_URL, or make its folder writable."
    )


def _prepare_sqlite(engine: Engine) -> None:
    """Make the folder, let readers and a writer work side by side, and keep what is written through a power cut."""
    if engine.url.database:
        Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, record: Any) -> None:
        connection.isolation_level = (
            None  # the driver's own BEGIN would come late, and not before a migration
        )
        connection.execute(f"PRAGMA busy_timeout={_WAIT_MS}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # Whoever read first and writes then would be refused if another wrote in between, and not made to wait.
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2] if "@" in rest else url

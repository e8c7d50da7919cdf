"""A PostgreSQL of our own, from the programs of the system's package: new, empty, ended at the end.

It listens on a socket in its own folder only, so that no port is taken and nobody else can come in.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

_NEEDED = ("initdb", "postgres")
_DEBIAN = Path("/usr/lib/postgresql")
_OWNER = "prunescope"
_START_SECONDS = 60.0
# A system crash is not what is tested: what is committed must survive the end of any of our processes, and that
# does not wait for the disk. All else, synchronous commits among it, is as it comes.
_SETTINGS = ("listen_addresses=", "fsync=off", "max_connections=200")


class PostgresError(RuntimeError):
    """PostgreSQL is not there, or does not start."""


@dataclass
class Postgres:
    """A running PostgreSQL; `folder` holds its socket."""

    folder: Path
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def new_database(self) -> str:
        """The URL of an empty database, as the store takes it."""
        name = f"history{next(self._numbers)}"
        with self._connect() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://{_OWNER}@/{name}?host={self.folder}"

    def end_connections(self) -> None:
        """Cut off everybody, as a restart of the database does."""
        with self._connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(host=str(self.folder), user=_OWNER, dbname="postgres", autocommit=True)


def programs() -> Path | None:
    """The folder of initdb and postgres, the newest there is; None if there is none."""
    folders = sorted(_DEBIAN.glob("*/bin"), key=lambda folder: float(folder.parent.name), reverse=True)
    if found := shutil.which("initdb"):
        folders.append(Path(found).resolve().parent)
    return next((folder for folder in folders if all((folder / name).exists() for name in _NEEDED)), None)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A server of our own; PostgresError if its programs are missing or it does not start."""
    bin_folder = programs()
    if bin_folder is None:
        raise PostgresError("no PostgreSQL is installed here: run python -m tests.install_postgres as root")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    user = _unprivileged(folder)
    data, log = folder / "data", folder / "log"
    initdb = [str(bin_folder / "initdb"), "-D", str(data), "-U", _OWNER, "--auth=trust", "--no-sync"]
    initdb += ["--encoding=UTF8", "--locale=C"]
    settings = [part for setting in _SETTINGS for part in ("-c", setting)]
    process = None
    try:
        made = subprocess.run(initdb, cwd=folder, capture_output=True, text=True, check=False, **user)
        if made.returncode:
            raise PostgresError(f"initdb failed: {made.stderr}")
        with log.open("w") as output:
            process = subprocess.Popen(
                [bin_folder / "postgres", "-D", data, "-k", folder, *settings],
                cwd=folder, stdout=output, stderr=subprocess.STDOUT, **user,
            )  # fmt: skip
        running = Postgres(folder)
        _wait_for(running, process, log)
        yield running
    finally:
        if process is not None:
            process.send_signal(signal.SIGQUIT)  # its word for: at once, nothing needs to be put away
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged(folder: Path) -> dict[str, Any]:
    """Whom to run as: PostgreSQL refuses root, so then another account that owns the folder."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    account = known.get("postgres") or known["nobody"]
    os.chown(folder, account.pw_uid, account.pw_gid)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _wait_for(running: Postgres, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        if process.poll() is not None:
            raise PostgresError(f"postgres ended with code {process.returncode}: {log.read_text()}")
        try:
            running._connect().close()
            return
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise PostgresError(f"postgres does not answer: {error}") from error
            time.sleep(0.05)

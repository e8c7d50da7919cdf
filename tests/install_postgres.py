"""Make sure there is a PostgreSQL for the tests of the store: ``python -m tests.install_postgres``.

The system's is used if there is one; else it is installed with apt where we are root. Without either the tests on
PostgreSQL are skipped, and say so.
"""

from __future__ import annotations

import os
import shutil
import subprocess

from tests.postgres import programs


def main() -> int:
    """Install PostgreSQL if none is found; 0 also where that is not ours to do."""
    if programs():
        return 0
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        apt = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "postgresql"]
        if subprocess.run(apt, env=environment, check=False).returncode == 0:
            return 0
    print("There is no PostgreSQL here, and none can be installed: its tests will be skipped.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

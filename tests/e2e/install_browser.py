"""Make sure there is a browser for the journeys: ``python -m tests.e2e.install_browser``.

A system Chromium is used if there is one; else it is installed with apt where we are root; else
Playwright downloads its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.e2e.harness import SYSTEM_BROWSERS


def main() -> int:
    """Install a browser if none is found; the exit code of the last attempt."""
    if any(shutil.which(name) for name in SYSTEM_BROWSERS):
        return 0
    with sync_playwright() as playwright:
        if Path(playwright.chromium.executable_path).exists():
            return 0
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        apt = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-dejavu-core"]
        if subprocess.run(apt, env=environment, check=False).returncode == 0:
            return 0
    return subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())

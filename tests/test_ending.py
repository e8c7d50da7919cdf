"""A script ends with whoever started it, and else runs as it would by itself."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from analysis.ending import tied

OWNER = """
import subprocess, sys
from analysis.ending import tied
child = subprocess.Popen(tied(sys.argv[1]), stdout=subprocess.PIPE, text=True)
print(child.stdout.readline().strip(), flush=True)
child.wait()
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends it, and only Linux's can")
def test_a_script_ends_when_its_owner_is_killed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(120)\n")
    owner = subprocess.Popen([sys.executable, "-c", OWNER, script], stdout=subprocess.PIPE, text=True)
    pid = int(owner.stdout.readline())
    assert is_running(pid)
    owner.kill()
    owner.wait()
    deadline = time.monotonic() + 30
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_script_says_and_ends_as_by_itself(tmp_path):
    (tmp_path / "beside.py").write_text("WORD = 'here'\n")
    (tmp_path / "script.py").write_text(
        "import sys\nfrom beside import WORD\nprint(__name__, WORD, sys.argv)\nsys.exit(5)\n"
    )
    alone, bound = (
        subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        for command in ([sys.executable, "script.py", "a b"], tied("script.py", "a b"))
    )
    assert (bound.returncode, bound.stdout) == (alone.returncode, alone.stdout)
    assert bound.returncode == 5 and bound.stdout == "__main__ here ['script.py', 'a b']\n"

"""A worker ends with whoever asked for it, also where the kernel does not see to that."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import time
from threading import Thread
from analysis.worker import leave_with
Thread(target=leave_with, args=(0,), daemon=True).start()
print("up", flush=True)
time.sleep(60)
"""


def test_it_ends_when_the_other_end_of_its_input_is_gone_and_not_before():
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "up\n"
    process.stdin.write("never read\n")
    process.stdin.flush()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.stdin.close()
    assert process.wait(30) == 1

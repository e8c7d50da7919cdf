"""The session of docs/session.md runs as it stands there, and leaves what it promises."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import sample_models
from analysis.measure.cost import cost
from analysis.pruning.plan_json import from_json
from analysis.recovery.keep import keep_here
from analysis.recovery.recovered import restore
from tests.report.reading import Reader, value

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that the script leaves, and what it printed on stdout; stderr holds lines of progress alone."""
    (script,) = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "session.md").read_text(), flags=re.DOTALL)
    folder = tmp_path_factory.mktemp("session")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PRUNESCOPE_RECOVERED": str(folder / "kept"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["sh", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return folder / "session", done.stdout


def test_every_step_leaves_its_file(session):
    folder, printed = session
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "curves.csv", "greedy.json", "recovered.json", "comparison.html", "report.html", "export"
    }  # fmt: skip
    assert all(f"saved session/{name}" in printed for name in names - {"export"})
    with (folder / "curves.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 3 * 4  # groups that can be pruned, ratios


def test_the_pages_speak_of_the_network_that_was_exported(session, monkeypatch):
    """What the report says is left is what the plan's file holds, and what the exported file answers."""
    folder, _ = session
    monkeypatch.setenv("PRUNESCOPE_RECOVERED", str(folder.parent / "kept"))
    plan = from_json((folder / "recovered.json").read_bytes())
    opened = sample_models.load("digits-cnn")
    network = restore(opened.network, keep_here().get(plan.recovered))
    assert cost(network).macs == pytest.approx(0.25 * cost(opened.network).macs, rel=0.02)
    report, comparison = (Reader((folder / f"{name}.html").read_text()) for name in ("report", "comparison"))
    assert int(value(report.row("Cost", "MACs")[2])) == cost(network).macs
    assert comparison.row("Cost", "MACs")[3] == report.row("Cost", "MACs")[2]
    assert [row[1] for row in report.table("Recovery")[1:]][-1] == "distillation"
    (file,) = folder.glob("export/**/*.pt2")
    inputs = opened.dataset.evaluation.inputs[:16]
    with torch.no_grad():
        answers = torch.export.load(file).module()(inputs)
        torch.testing.assert_close(answers, network.module(inputs), atol=1e-5, rtol=1e-5)


def test_recovery_brings_back_what_it_says(session):
    """Half of every layer, before and after it has learned: a gain far beyond noise, and on a par with the greedy plan."""
    _, printed = session
    was, gained = (
        re.search(rf"^  {name} +\+?([0-9.]+) \(\+?([0-9.]+)", printed, re.MULTILINE)
        for name in ("as pruned", "distillation")
    )
    assert was and float(was[1]) < 0.5
    assert gained and float(gained[2]) > 0.5  # the low end of its interval
    assert "measured after recalibration" in printed
    _, paired = printed.split("B against A, on the same examples\n")
    accuracy, loss = (
        re.search(rf"^  {name} +\S+ \((\S+) to (\S+)\)", paired, re.MULTILINE)
        for name in ("accuracy", "loss")
    )
    assert accuracy and float(accuracy[1]) < 0 < float(accuracy[2])
    assert loss and float(loss[2]) < 0

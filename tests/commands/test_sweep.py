"""``python -m analysis sweep``: each point is what pruning that target alone leaves."""

import csv
import json

import pytest

import sample_models
from analysis.importance.registry import score
from analysis.measure.quality import evaluate, quality
from analysis.pruning.plan import make_plan, targets
from analysis.pruning.prune import prune
from analysis.sensitivity import COARSE, FINE


@pytest.mark.parametrize(("granularity", "criterion"), [("weight", "l1"), ("channel", "taylor")])
def test_every_point_is_the_network_with_that_target_cut(report, granularity, criterion):
    """98 examples are seen to the last, so that a point is exact: R² of the network pruned by hand."""
    found = report(
        "sweep", "auto-mpg-mlp", "--granularity", granularity, "--criterion", criterion, "--ratios", 0.5, 0.2, 0.5
    )  # fmt: skip
    opened = sample_models.load("auto-mpg-mlp")
    network, data = opened.network, opened.dataset
    assert (found["granularity"], found["criterion"], found["metric"]) == (granularity, criterion, "r2")
    assert [(p["target"], p["ratio"]) for p in found["points"]] == [
        (target, ratio) for target in targets(network, granularity) for ratio in (0.2, 0.5)
    ]
    scores = score(network, criterion, data)
    for point in found["points"]:
        plan = make_plan(network, criterion, granularity, {point["target"]: point["ratio"]})
        answered = evaluate(prune(network, plan, scores), data.evaluation, data.task)
        assert point["value"] == pytest.approx(quality(answered)["r2"].value, abs=1e-5)
        assert point["examples"] == 98


def test_without_ratios_every_target_gets_the_coarse_ones_and_bends_are_looked_into(report):
    found = report("sweep", "digits-cnn")
    measured = {}
    for point in found["points"]:
        measured.setdefault(point["target"], []).append(point["ratio"])
        assert 0 <= point["low"] <= point["value"] <= point["high"] <= 1 and 0 < point["examples"] <= 450
    assert list(measured) == ["conv1", "conv2", "conv3"] and found["left_out"] == []
    assert all(set(COARSE) <= set(ratios) <= {*COARSE, *FINE} for ratios in measured.values())
    assert any(set(ratios) & set(FINE) for ratios in measured.values())


def test_the_file_holds_the_points(report, call, tmp_path):
    asked = ("sweep", "auto-mpg-mlp", "--ratios", 0.3, "-o")
    found = report(*asked, tmp_path / "curves.csv")
    with (tmp_path / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{**row, **{k: float(row[k]) for k in row if k != "target"}} for row in rows] == found["points"]
    assert found["file_bytes"] == (tmp_path / "curves.csv").stat().st_size
    code, text, _ = call(*asked, tmp_path / "curves.json")
    kept = json.loads((tmp_path / "curves.json").read_text())
    assert code == 0 and kept["points"] == found["points"]
    for point in found["points"]:
        line = next(line for line in text.splitlines() if line.split()[0] == point["target"])
        assert "30% removed" in line and f"{point['value']:.4f}" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ratios", "1.5"], ["1.5", "between 0 and 1"]),
        (["--ratios", "30", "50"], ["write 0.3 for 30%"]),
        (["--ratios"], ["--ratios"]),
        (["-o", "/proc/curves.csv"], ["cannot be written"]),
        (["-o", "nofolder/curves.csv"], ["the folder nofolder does not exist"]),
        (["-o", "curves.txt"], [".csv or .json"]),
        (["--criterion", "luck"], ["'luck'"]),
        (["--granularity", "block"], ["'block'"]),
        (["--criterion", "bn-scale"], ["BatchNorm"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_bad_calls_are_refused_in_one_line(call, arguments, words):
    code, out, err = call("sweep", "auto-mpg-mlp", *arguments)
    last = err.splitlines()[-1]
    assert code == 2 and out == "" and last.startswith("error: ") and "Traceback" not in err
    assert all(word in last for word in words)
    assert "measuring" not in err  # refused before the work


def test_a_criterion_that_tells_no_weights_apart_is_refused(call):
    code, _, err = call("sweep", "digits-cnn", "--criterion", "bn-scale", "--granularity", "weight")
    assert code == 2 and "ranks no weights of digits-cnn" in err.splitlines()[-1]

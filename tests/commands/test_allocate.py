"""``python -m analysis allocate``: what it reports is what the engine finds, and what it saves can be measured."""

import numpy as np
import pytest

import sample_models
from analysis.__main__ import open_source
from analysis.allocation.registry import METHODS
from analysis.measure.cost import cost
from analysis.pruning.plan_json import from_json

QUICK = ("allocate", "auto-mpg-mlp", "--goal", "macs=0.5")


def test_the_greedy_plan_is_proposed_measured_and_saved(report, tmp_path):
    file = tmp_path / "plan.json"
    found = report(*QUICK, "-o", file)
    (proposal,) = found["proposals"]
    assert proposal["name"] == found["saved"] == "greedy smallest-loss"
    assert found["goal"] == {"kind": "macs", "value": 0.5} and proposal["shares"]["macs"] <= 0.5
    plan = from_json(file.read_bytes())
    assert plan.ratios == proposal["ratios"] and file.stat().st_size == found["file_bytes"]
    measured = report("measure", "auto-mpg-mlp", "--plan", file)
    assert measured["quality"]["r2"]["value"] == pytest.approx(proposal["quality"]["value"])
    assert measured["macs"] == proposal["macs"]
    assert (
        measured["dense"]["macs"] == found["dense"]["macs"] == cost(open_source("auto-mpg-mlp").network).macs
    )


@pytest.mark.parametrize(
    ("goal", "granularity", "best"),
    [
        ("connections=0.3", "weight", lambda entry: -entry["quality"]["value"]),
        ("floor=0.8", "channel", lambda entry: entry["shares"]["macs"]),
        ("floor=0.8", "weight", lambda entry: entry["shares"]["connections"]),
    ],
)
def test_all_methods_are_compared_and_the_best_is_saved(report, tmp_path, goal, granularity, best):
    file = tmp_path / "plan.json"
    found = report(
        "allocate", "auto-mpg-mlp", "--goal", goal, "--granularity", granularity, "--all-methods",
        "--order", "leaf-first", "-o", file,
    )  # fmt: skip
    assert [entry["method"] for entry in found["proposals"]] == list(METHODS)
    chosen = min(found["proposals"], key=best)
    assert found["saved"] == chosen["name"]
    assert from_json(file.read_bytes()).ratios == chosen["ratios"]
    if goal.startswith("floor"):
        assert all(entry["quality"]["value"] >= 0.8 for entry in found["proposals"])


def test_recovery_is_measured_again(report):
    found = report(*QUICK, "--method", "uniform", "--recover", 1)
    (proposal,) = found["proposals"]
    assert proposal["predicted"] is None
    assert proposal["recovered"]["epochs"] == 1 and proposal["recovered"]["seconds"] > 0
    change = proposal["recovered"]["quality"]["value"] - found["dense"]["quality"]["value"]
    assert proposal["recovered"]["change"]["value"] == pytest.approx(change)


def test_the_report_for_people_names_what_goes(call, report):
    code, text, err = call(*QUICK, "--method", "erk")
    assert code == 0 and "loading auto-mpg-mlp" in err and "loading" not in text
    assert text.startswith(
        "auto-mpg-mlp: at most 50% of the dense network's MACs, channels by l1, 98 examples\n"
    )
    for target, ratio in report(*QUICK, "--method", "erk")["proposals"][0]["ratios"].items():
        assert any(line.split() == [target, f"{ratio:.1%}"] for line in text.splitlines())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--goal", "macs"], ["'macs'", "kinds: macs"]),
        (["--goal", "size=0.5"], ["'size'", "Known: macs"]),
        (["--goal", "macs=1e-9"], ["out of reach", "MACs are left"]),
        (["--goal", "macs=0.5", "--granularity", "weight"], ["Cut channels"]),
        (["--goal", "floor=0.99"], ["before anything is cut"]),
        (["--goal", "macs=0.5", "--method", "best"], ["'best'", "uniform"]),
        (["--goal", "macs=0.5", "--method", "erk", "--all-methods"], ["--all-methods"]),
        (["--goal", "macs=0.5", "--criterion", "luck"], ["'luck'"]),
        (["--goal", "macs=0.5", "--order", "random"], ["'random'"]),
        (["--goal", "macs=0.5", "--cap", "0"], ["The cap is 0"]),
        (["--goal", "macs=0.5", "--recover", "0"], ["'0'"]),
        (["--goal", "macs=0.5", "-o", "plan.pt2"], [".json"]),
        ([], ["--goal"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_calls_are_refused_in_one_line(call, arguments, words):
    code, out, err = call("allocate", "auto-mpg-mlp", *arguments)
    assert code == 2 and out == ""
    last = err.splitlines()[-1]
    assert last.startswith("error: ") and "Traceback" not in err
    assert all(word in last for word in words)


def test_a_method_that_makes_no_plan_says_why(call, tmp_path):
    """Targets that nobody can guess: the network is worse than saying their mean."""
    inputs = sample_models.load("auto-mpg-mlp").dataset.evaluation.inputs.numpy()
    np.savez(tmp_path / "noise.npz", x=inputs, y=np.arange(len(inputs)) % 7 - 200.0)
    code, _, err = call(*QUICK, "--data", tmp_path / "noise.npz")
    assert code == 2 and "no better than guessing" in err.splitlines()[-1]


def test_a_repair_is_said_and_can_be_left_away(call, report, tmp_path):
    """The network has no BatchNorm: it is reconstructed."""
    for given, repair in (([], "reconstruction"), (["--as-cut"], None)):
        file = tmp_path / "plan.json"
        (proposal,) = report(*QUICK, "--method", "uniform", *given, "-o", file)["proposals"]
        assert proposal["repair"] == repair
        assert bool(from_json(file.read_bytes()).recovered) == bool(repair)
        _, text, _ = call(*QUICK, "--method", "uniform", *given)
        said = [line for line in text.splitlines() if line.startswith("measured after reconstruction")]
        assert len(said) == bool(repair) and all("--as-cut" in line for line in said)

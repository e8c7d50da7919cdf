"""The command line: reports, refusals in one line, stdout for the report alone."""

import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import sample_models
from analysis.pruning.plan import Pick, Plan, make_plan, repick
from analysis.pruning.plan_json import to_json

KEYS = {
    "network", "task", "images", "quality", "parameters", "connections", "nonzero_connections", "macs",
    "bytes", "layers", "groups",
}  # fmt: skip
ROOT = Path(__file__).parents[2]


def _assert_refused(result: tuple[int, str, str], *words: str) -> None:
    """Exit code 2, nothing on stdout, one line of error after the lines of progress."""
    code, out, err = result
    lines = err.splitlines()
    assert code == 2
    assert out == ""
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    assert "Traceback" not in err
    for word in words:
        assert word in lines[-1]


@pytest.fixture
def plan_file(tmp_path):
    def write(plan: Plan) -> Path:
        path = tmp_path / "plan.json"
        path.write_text(to_json(plan))
        return path

    return write


@pytest.mark.parametrize("name", ["digits-cnn", "auto-mpg-mlp"])
@pytest.mark.parametrize("command", ["inspect", "measure"])
def test_a_dense_report_describes_the_sample(report, name, command):
    found = report(command, name)
    sample = sample_models.load(name)
    assert found.keys() >= KEYS
    assert not {"plan", "change", "dense", "file"} & found.keys()
    assert found["network"] == name and found["task"] == sample.card["task"]
    assert found["images"] == sample.card["test"]["examples"]
    headline = found["quality"][sample.card["test"]["metric"]]
    assert headline["value"] == pytest.approx(sample.card["test"]["value"], abs=1e-6)
    for interval in found["quality"].values():
        assert interval.keys() == {"value", "low", "high"}
        assert interval["low"] <= interval["value"] <= interval["high"]


def test_layers_and_groups_of_the_report_are_the_networks(report):
    found = report("inspect", "digits-cnn")
    assert [layer["name"] for layer in found["layers"]] == ["conv1", "conv2", "conv3", "head"]
    assert found["layers"][1] == {
        "name": "conv2", "type": "Conv2d", "shape": [64, 32, 3, 3], "parameters": 64 * 32 * 9,
        "connections": 64 * 32 * 9, "macs": 64 * 32 * 9 * 64,
    }  # fmt: skip
    for total in ("connections", "macs"):
        assert sum(layer[total] for layer in found["layers"]) == found[total]
    assert [group["name"] for group in found["groups"]] == ["conv1", "conv2", "conv3", "head"]
    assert found["groups"][0] == {
        "name": "conv1", "members": ["conv1"], "size": 32, "left": 32, "unit": "channel", "verdict": "exact", "reason": ""
    }  # fmt: skip
    assert found["groups"][3]["verdict"] == "refused" and "answer" in found["groups"][3]["reason"]
    file = sample_models.WEIGHTS_FOLDER / "digits-cnn.safetensors"
    assert found["bytes"] == pytest.approx(file.stat().st_size, rel=0.01)


def test_pruning_half_of_every_group_is_reported_against_the_dense_network(report):
    dense, found = report("inspect", "digits-mlp"), report("measure", "digits-mlp", "--all", 0.5)
    assert set(found["plan"]["ratios"]) == {"channel"} and found["plan"]["criterion"] == "l1"
    assert set(found["plan"]["ratios"]["channel"].values()) == {0.5}
    widths = [64, 128, 128, 64, 32, 10]
    weights = sum(a * b for a, b in pairwise(widths))
    assert found["connections"] == found["macs"] == weights
    assert found["parameters"] == weights + sum(widths[1:])
    assert found["dense"]["parameters"] == dense["parameters"] > found["parameters"]
    assert found["dense"]["quality"] == dense["quality"]
    for name, change in found["change"].items():
        difference = found["quality"][name]["value"] - dense["quality"][name]["value"]
        assert change["value"] == pytest.approx(difference, abs=1e-9)


def test_pruning_weights_leaves_the_shapes_and_zeroes_the_share(report):
    found = report("measure", "digits-mlp", "--all", 0.9, "--granularity", "weight", "--criterion", "l2")
    assert found["plan"]["criterion"] == "l2" and set(found["plan"]["ratios"]) == {"weight"}
    assert found["nonzero_connections"] == pytest.approx(0.1 * found["connections"], rel=0.01)
    assert found["parameters"] == found["dense"]["parameters"]
    assert found["best_encoding"]["bytes"] < 0.25 * found["bytes"] == 0.25 * found["dense"]["bytes"]


def test_a_plan_file_is_carried_out(report, plan_file):
    network = sample_models.load("digits-mlp").network
    plan = make_plan(network, "taylor", "channel", {"hidden.fc1": 0.25, "hidden.fc3": 0.5})
    found = report("measure", "digits-mlp", "--plan", plan_file(plan))
    assert found["plan"] == {"criterion": "taylor", "ratios": {"channel": plan.ratios}}
    shapes = {layer["name"]: layer["shape"] for layer in found["layers"]}
    assert shapes["hidden.fc1"] == [192, 64] and shapes["hidden.fc3"] == [64, 256]


def test_prune_writes_the_network_that_it_reports(report, tmp_path):
    file = tmp_path / "small.pt2"
    found = report("prune", "auto-mpg-mlp", "--all", 0.5, "-o", file)
    assert found["file"] == str(file) and found["file_bytes"] == file.stat().st_size
    reloaded = torch.export.load(file)
    assert sum(value.numel() for value in reloaded.state_dict.values()) == found["parameters"]
    split = sample_models.load("auto-mpg-mlp").dataset.evaluation
    answers = reloaded.module()(split.inputs)[:, 0].detach()
    error = float(((answers - split.targets) ** 2).mean())
    assert found["quality"]["mse"]["value"] == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize("json_flag", [True, False])
def test_stdout_holds_the_report_alone_and_progress_goes_to_stderr(call, json_flag):
    code, out, err = call("measure", "auto-mpg-mlp", "--all", 0.3, *["--json"] * json_flag)
    assert code == 0
    for line in ("loading auto-mpg-mlp", "measuring the dense network", "scoring by l1"):
        assert line in err and line not in out
    assert out.startswith("{\n" if json_flag else "auto-mpg-mlp: regression, 98 examples\n")


def test_the_report_for_people_names_what_was_found(call, report):
    _, text, _ = call("measure", "digits-mlp", "--all", 0.5)
    found = report("measure", "digits-mlp", "--all", 0.5)
    assert f"{found['parameters']:,}" in text and f"of {found['dense']['parameters']:,}" in text
    assert f"{found['quality']['accuracy']['value']:.4f}" in text
    assert f"change {found['change']['accuracy']['value']:+.4f}" in text
    for layer in found["layers"]:
        assert f"{layer['macs']:,} MACs" in text and layer["name"] in text
    for group in found["groups"]:
        left = (
            f"{group['size']} {group['unit']}s" if group["reason"] else f"{group['left']} of {group['size']} "
        )
        assert any(
            group["name"] in line and left in line and group["reason"] in line for line in text.splitlines()
        )
    assert not any(key in text for key in ("nonzero_connections", "macs", "best_bytes"))


def test_own_data_are_measured_instead_of_the_samples(report, tmp_path):
    evaluation = sample_models.load("digits-mlp").dataset.evaluation
    np.savez(tmp_path / "mine.npz", x=evaluation.inputs[:50].numpy(), y=evaluation.targets[:50].numpy())
    assert report("inspect", "digits-mlp", "--data", tmp_path / "mine.npz")["images"] == 40


@pytest.mark.filterwarnings("ignore:All-NaN slice")
def test_metrics_without_a_value_are_null(report, tmp_path):
    """R² of targets that do not vary is unknown; JSON has no NaN."""
    inputs = sample_models.load("auto-mpg-mlp").dataset.evaluation.inputs[:20].numpy()
    np.savez(tmp_path / "constant.npz", x=inputs, y=np.full(20, 25.0))
    quality = report("inspect", "auto-mpg-mlp", "--data", tmp_path / "constant.npz")["quality"]
    assert quality["r2"] == {"value": None, "low": None, "high": None}
    assert math.isfinite(quality["mse"]["value"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["inspect", "nope"], ["'nope'", "digits-cnn"]),
        (["measure", "digits-mlp", "--all", "1.5"], ["1.5", "between 0 and 1; write 0.015 for 1.5%"]),
        (["measure", "digits-mlp", "--all", "-0.1"], ["-0.1", "write 0.3 for 30%"]),
        (["measure", "digits-mlp", "--all", "nan"], ["nan"]),
        (["measure", "digits-mlp", "--all", "half"], ["'half'"]),
        (["measure", "digits-mlp", "--all", "0.5", "--criterion", "bn-scale"], ["BatchNorm"]),
        (["measure", "digits-mlp", "--all", "0.5", "--criterion", "luck"], ["'luck'", "taylor"]),
        (["measure", "digits-mlp", "--all", "0.5", "--granularity", "layer"], ["'layer'"]),
        (["measure", "digits-mlp", "--criterion", "luck"], ["criterion"]),
        (["measure", "digits-mlp", "--granularity", "weight"], ["granularity"]),
        (["measure", "digits-mlp", "--plan", "/nowhere/plan.json"], ["There is no file /nowhere/plan.json"]),
        (["measure", "digits-mlp", "--plan", "/tmp"], ["/tmp"]),
        (["inspect", "digits-mlp", "--data", "/nowhere/data.npz"], ["/nowhere/data.npz"]),
        (["inspect", "digits-mlp", "--threads", "0"], ["'0'"]),
        (["prune", "digits-mlp", "-o", "x.pt2"], ["--all"]),
        (["prune", "digits-mlp", "--all", "0.5"], ["--output"]),
        (
            ["prune", "auto-mpg-mlp", "--all", "0.5", "-o", "/nowhere/x.pt2"],
            ["the folder /nowhere does not exist"],
        ),
        (["prune", "auto-mpg-mlp", "--all", "0.5", "-o", f"{'x' * 300}.pt2"], ["cannot be written"]),
        (["prune", "auto-mpg-mlp", "--all", "0.5", "-o", "/tmp"], ["/tmp"]),
        ([], ["command"]),
        (["polish", "digits-mlp"], ["'polish'"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_calls_are_refused_in_one_line(call, arguments, words):
    _assert_refused(call(*arguments), *words)


def test_channels_picked_by_hand_are_carried_out_and_named(call, report, plan_file):
    network = sample_models.load("digits-mlp").network
    plan = repick(Plan(network.name, "taylor"), network, "hidden.fc1", 7, True)
    plan = repick(repick(plan, network, "hidden.fc1", 255, True), network, "hidden.fc2", 3, False)
    found = report("measure", "digits-mlp", "--plan", plan_file(plan))
    assert found["plan"]["picks"] == {
        "hidden.fc1": {"removed": [7, 255], "kept": []},
        "hidden.fc2": {"removed": [], "kept": [3]},
    }
    assert next(layer for layer in found["layers"] if layer["name"] == "hidden.fc1")["shape"][0] == 254
    code, out, _ = call("measure", "digits-mlp", "--plan", plan_file(plan))
    lines = out.splitlines()
    assert code == 0 and "picked by hand" in lines
    assert any(line.split() == ["hidden.fc1", "channels", "removed:", "7,", "255"] for line in lines)
    assert any(line.split() == ["hidden.fc2", "channels", "kept:", "3"] for line in lines)
    other = Plan("digits-mlp", "l1", (), (Pick("hidden.fc1", 256, True),))
    _assert_refused(
        call("measure", "digits-mlp", "--plan", plan_file(other)), "hidden.fc1 has 256 channels", "256"
    )


@pytest.mark.parametrize("ratios", [{"hidden.fc1": 0.5}, {}], ids=["with cuts", "dense"])
def test_a_plan_for_another_network_is_refused(call, plan_file, ratios):
    plan = make_plan(sample_models.load("digits-mlp-l1").network, "l1", "channel", ratios)
    _assert_refused(
        call("measure", "digits-mlp", "--plan", plan_file(plan)), "digits-mlp-l1", "Use it with that network"
    )


def test_a_plan_file_that_is_no_plan_is_refused(call, tmp_path):
    for content in (b"", b"{", b"[]", b'{"schema": 99}', b"\xff\x00"):
        (tmp_path / "plan.json").write_bytes(content)
        _assert_refused(call("measure", "digits-mlp", "--plan", tmp_path / "plan.json"), "plan")


def test_a_plan_file_leaves_no_room_for_other_options(call, plan_file):
    file = plan_file(Plan("digits-mlp", "l1"))
    _assert_refused(call("measure", "digits-mlp", "--plan", file, "--criterion", "l2"), "criterion")
    _assert_refused(call("measure", "digits-mlp", "--plan", file, "--all", "0.5"), "--plan")


def test_data_that_do_not_fit_the_network_are_refused(call, tmp_path):
    np.savez(tmp_path / "mine.npz", x=np.zeros((20, 3)), y=np.zeros(20))
    _assert_refused(call("inspect", "digits-mlp", "--data", tmp_path / "mine.npz"), "(1, 8, 8)", "(3,)")


@pytest.mark.parametrize("arguments", [["--help"], ["inspect", "--help"], ["prune", "--help"]])
def test_help_explains_the_commands(call, arguments):
    code, out, err = call(*arguments)
    assert code == 0 and err == ""
    assert "usage: python -m analysis" in out


def test_from_a_shell_an_unknown_network_is_one_line_of_error():
    done = subprocess.run(
        [sys.executable, "-m", "analysis", "inspect", "nope"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == "loading nope" and len(lines) == 2
    assert lines[1].startswith("error: There is no sample network 'nope'")

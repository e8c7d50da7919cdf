"""``python -m analysis export``: the files that it writes, what it says of them, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

import sample_models
from analysis.errors import ExportError
from analysis.export.registry import FORMATS
from analysis.pruning.plan import uniform_plan
from analysis.pruning.plan_json import from_json, to_json
from analysis.pruning.prune import prune

NETWORK = "digits-mlp"
CUT = ("export", NETWORK, "--all", "0.5")


@pytest.fixture
def broken_onnx(monkeypatch):
    def refuse(shipment):
        raise ExportError("aten::nothing has no counterpart in it. Use .pt2.")

    monkeypatch.setitem(FORMATS, "onnx", replace(FORMATS["onnx"], write=refuse))


def test_the_files_are_the_pruned_network_and_the_report_is_of_them(report, tmp_path):
    folder = tmp_path / "out"
    found = report(*CUT, "--format", "pt2", "safetensors", "-o", folder)
    opened = sample_models.load(NETWORK)
    plan = uniform_plan(opened.network, "l1", "channel", 0.5)
    assert from_json((folder / "plan.json").read_text()) == plan
    split = opened.dataset.evaluation
    with torch.no_grad():
        answers = torch.export.load(folder / "pt2" / "network.pt2").module()(split.inputs)
        expected = prune(opened.network, plan).module(split.inputs)
    assert torch.allclose(answers, expected, atol=1e-5)
    accuracy = float((answers.argmax(1) == split.targets).double().mean())
    assert found["quality"]["accuracy"]["value"] == pytest.approx(accuracy)
    assert [entry["format"] for entry in found["exports"]] == ["pt2", "safetensors"]
    written = {
        str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()
    }
    for entry in found["exports"]:
        assert entry["quality"]["accuracy"]["value"] == pytest.approx(accuracy)
        assert entry["examples"] == len(split) and 0 <= entry["difference"] <= 1e-5 * max(
            1, float(expected.abs().max())
        )
        assert entry["files"] == {
            path: size for path, size in written.items() if path.startswith(entry["format"] + "/")
        }
    named = {path for entry in found["exports"] for path in entry["files"]}
    assert written.keys() - named == {"plan.json", "MODEL_CARD.md"}
    assert NETWORK in (folder / "MODEL_CARD.md").read_text()


def test_files_of_an_earlier_export_go_and_those_of_others_stay(call, tmp_path):
    stale = [tmp_path / "script" / name for name in ("recovered.safetensors", "recipe.json")]
    others = [tmp_path / "script" / "notes.txt", tmp_path / "onnx" / "network.onnx", tmp_path / "network.pt2"]
    for path in (*stale, *others):
        path.parent.mkdir(exist_ok=True)
        path.write_text("of another plan")
    code, _, err = call(*CUT, "--format", "script", "-o", tmp_path)
    assert code == 0, err
    assert not stale[0].exists() and json.loads(stale[1].read_text())["network"] == NETWORK
    assert all(path.read_text() == "of another plan" for path in others)


def test_a_machine_that_lacks_room_is_an_error_of_no_format(call, tmp_path, monkeypatch):
    def full(shipment):
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(FORMATS, "onnx", replace(FORMATS["onnx"], write=full))
    code, out, err = call(*CUT, "-o", tmp_path / "out")
    assert code == 2 and out == "" and "No space left on device" in err.strip().splitlines()[-1]


def test_a_plan_file_is_carried_out_and_comes_back_unchanged(call, tmp_path):
    where, folder = tmp_path / "plan.json", tmp_path / "out"
    where.write_text(to_json(uniform_plan(sample_models.load(NETWORK).network, "l2", "weight", 0.8)))
    code, out, err = call("export", NETWORK, "--plan", where, "--format", "pt2", "-o", folder)
    assert code == 0, err
    assert (folder / "plan.json").read_text() == where.read_text()
    assert "pt2/network.pt2" in out and "largest difference" in out
    state = torch.export.load(folder / "pt2" / "network.pt2").state_dict
    assert any(
        int((value == 0).sum()) == round(0.8 * value.numel()) for value in state.values() if value.dim() > 1
    )


def test_without_a_format_all_that_can_be_are_written_and_the_rest_is_said(call, tmp_path, broken_onnx):
    code, out, err = call(*CUT, "-o", tmp_path / "out", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert [entry["format"] for entry in found["exports"]] == [name for name in FORMATS if name != "onnx"]
    assert found["refused"] == {"onnx": "aten::nothing has no counterpart in it. Use .pt2."}
    assert not (tmp_path / "out" / "onnx").exists()


def test_a_format_that_was_asked_for_and_cannot_be_made_is_an_error_after_the_others(
    call, tmp_path, broken_onnx
):
    code, out, err = call(*CUT, "--format", "onnx", "pt2", "-o", tmp_path / "out")
    assert code == 2 and out == ""
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: onnx: aten::nothing") and "pt2" in last
    assert (tmp_path / "out" / "pt2" / "network.pt2").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*CUT, "--format", "jpeg", "-o", "OUT"), "jpeg"),
        ((*CUT, "--format", "pt2"), "-o"),
        ((*CUT, "--format", "pt2", "-o", "OUT/in/nothing"), "in does not exist; make it first"),
        ((*CUT, "--format", "pt2", "-o", "/proc/out"), "'/proc/out' cannot be written"),
        ((*CUT, "--format", "pt2", "-o", "FILE"), "is a file"),
        (("export", "nothing", "--all", "0.5", "--format", "pt2", "-o", "OUT"), "nothing"),
        ((*CUT, "--criterion", "prayer", "--format", "pt2", "-o", "OUT"), "prayer"),
    ],
)
def test_what_is_refused_is_refused_in_one_line(call, tmp_path, arguments, words):
    (tmp_path / "file").write_text("in the way")
    places = {
        "OUT": tmp_path / "out",
        "OUT/in/nothing": tmp_path / "in" / "nothing",
        "FILE": tmp_path / "file",
    }
    code, out, err = call(*(places.get(argument, argument) for argument in arguments))
    assert code == 2 and out == ""
    assert words in err.strip().splitlines()[-1] and "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_said_in_one_line(call, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "pt2").write_text("in the way")
    code, out, err = call(*CUT, "--format", "pt2", "-o", tmp_path / "out")
    assert code == 2 and out == ""
    assert "cannot be written" in err.strip().splitlines()[-1]


def test_without_a_plan_the_dense_network_is_written(call, tmp_path):
    code, out, err = call("export", NETWORK, "--format", "pt2", "-o", tmp_path / "out")
    assert code == 0, err
    assert f"exported the network whole to {tmp_path / 'out'}" in out
    opened = sample_models.load(NETWORK)
    inputs = opened.dataset.evaluation.inputs[:9]
    with torch.no_grad():
        answers = torch.export.load(tmp_path / "out" / "pt2" / "network.pt2").module()(inputs)
        assert torch.allclose(answers, opened.network.module(inputs), atol=1e-5)
    assert from_json((tmp_path / "out" / "plan.json").read_text()).is_dense

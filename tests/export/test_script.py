"""The script that makes the pruned network from the original: what it takes, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save, save_file

from analysis.errors import ExportError
from analysis.export import FORMATS, checked, script
from analysis.export.stranger import imported
from analysis.export.unfinished import UnfinishedError
from analysis.recovery.recovered import Step, recovered_from, restore
from analysis.tasks import CLASSIFICATION
from analysis.tracing import trace
from tests.export.shipments import dataset_of, plan_of, shipped, write_into
from tests.networks import ConvNet, randomise, split
from tests.networks import load as load_network

SHAPE = (2, 5, 5)


def shipment(granularity="channel"):
    network = load_network(randomise(ConvNet()), SHAPE)
    return shipped(network, dataset_of(split(SHAPE, 4, 12), CLASSIFICATION), plan_of(network, granularity))


def recovered_shipment(granularity):
    """One whose weights are half as large again, as if they had been trained."""
    start = shipment(granularity)
    recovered = recovered_from(start.pruned, start.selection, (Step("fine-tuning", {"epochs": 2}, 3.0),))
    floats = {k: v * 1.5 if v.is_floating_point() else v for k, v in recovered.state.items()}
    recovered = replace(recovered, state=floats)
    plan = replace(start.plan, recovered="a" * 64)
    return replace(start, plan=plan, recovered=recovered, pruned=restore(start.dense, recovered))


def saved(module, path):
    torch.save(module.state_dict(), path)
    return path


@pytest.mark.parametrize("way", ["plain", "nested", "more precise", "with other tensors"])
def test_a_state_dict_that_torch_saved_will_do(way, only_torch, tmp_path):
    shipped_out = shipment()
    folder = write_into(tmp_path, FORMATS["script"].write(shipped_out))
    state = randomise(ConvNet()).state_dict()
    if way == "nested":
        state = {"epoch": 3, "model": {"state_dict": state}}
    elif way == "more precise":
        state = {key: value.double() if value.is_floating_point() else value for key, value in state.items()}
    elif way == "with other tensors":
        state = {"extra": torch.zeros(3), **state}
    torch.save(state, tmp_path / "model.pt")
    code, said = only_torch.reproduce(folder, tmp_path / "model.pt")
    assert code == 0 and "Largest difference on 8 stored examples: 0\n" in said
    made = torch.load(tmp_path / "pruned.pt", weights_only=True)
    expected = shipped_out.pruned.module.state_dict()
    assert made.keys() == expected.keys() and all(torch.equal(made[key], expected[key]) for key in made)
    left, whole = shipped_out.pruned.parameters(), shipped_out.dense.parameters()
    assert f"{left:,} of {whole:,} parameters are left" in said


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_says_where_the_original_comes_from(flag, tmp_path):
    folder = write_into(tmp_path, FORMATS["script"].write(shipment()))
    done = subprocess.run([sys.executable, "reproduce.py", flag], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr
    assert '"Weights and source"' in done.stdout and "sample_models/weights/NAME.safetensors" in done.stdout
    assert "read to check alone" in done.stdout


def test_half_precision_is_read_as_the_app_read_it(only_torch, tmp_path):
    module = randomise(ConvNet()).half()
    network = load_network(module, SHAPE)
    out = shipped(network, dataset_of(split(SHAPE, 4, 12), CLASSIFICATION), plan_of(network, "channel"))
    folder = write_into(tmp_path, FORMATS["script"].write(out))
    save_file(module.state_dict(), tmp_path / "half.safetensors")
    assert only_torch.reproduce(folder, tmp_path / "half.safetensors")[0] == 0


def test_no_original_value_is_in_the_files():
    out = shipment()
    held = load(FORMATS["script"].write(out)["recipe.safetensors"])
    assert {name.partition("/")[0] for name in held} <= {"given", "zeroed", "example"}
    assert all(name.endswith("num_batches_tracked") for name in held if name.startswith("given/"))


def test_another_networks_weights_are_refused_by_name(only_torch, tmp_path):
    folder = write_into(tmp_path, FORMATS["script"].write(shipment()))
    code, _ = only_torch.reproduce(folder, saved(randomise(ConvNet(), seed=9), tmp_path / "other.pt"))
    assert "holds the weights of another network: 13 of 13 tensors" in code and "conv1.weight" in code
    assert not (tmp_path / "pruned.pt").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read"), (b"nothing", "neither a safetensors file nor a state dict")],
)
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_what_is_no_weights_file_is_refused_in_words(content, words, ending, only_torch, tmp_path):
    folder = write_into(tmp_path, FORMATS["script"].write(shipment()))
    original = tmp_path / f"original.{ending}"
    if content is not None:
        original.write_bytes(content)
    assert words in only_torch.reproduce(folder, original)[0]


@pytest.mark.parametrize("granularity", ["channel", "weight"])
def test_recovered_weights_come_from_their_file_and_fit_what_is_gone(granularity, only_torch, tmp_path):
    out = recovered_shipment(granularity)
    files = FORMATS["script"].write(out)
    assert {*files} == {*FORMATS["script"].names}
    folder = write_into(tmp_path, files)
    original = saved(randomise(ConvNet()), tmp_path / "original.pt")
    code, said = only_torch.reproduce(folder, original)
    assert code == 0 and "weights come from recovered.safetensors, not from the original" in said
    network = imported(folder / "network.py").load(folder / "pruned.pt")
    inputs = split(SHAPE, 4, 5, seed=8).inputs
    with torch.no_grad():
        assert torch.allclose(network(inputs), out.pruned.module(inputs), rtol=1e-6, atol=1e-6)


def test_recovered_weights_with_a_removed_weight_are_refused(only_torch, tmp_path):
    folder = write_into(tmp_path, FORMATS["script"].write(recovered_shipment("weight")))
    state = load((folder / "recovered.safetensors").read_bytes())
    state["head.weight"] = torch.ones_like(state["head.weight"])
    (folder / "recovered.safetensors").write_bytes(save(state))
    code, _ = only_torch.reproduce(folder, saved(randomise(ConvNet()), tmp_path / "original.pt"))
    assert "weights of head.weight that were removed are not zero" in code


def test_recovered_weights_of_another_shape_are_refused(only_torch, tmp_path):
    folder = write_into(tmp_path, FORMATS["script"].write(recovered_shipment("channel")))
    state = load((folder / "recovered.safetensors").read_bytes()) | {"head.weight": torch.ones(4, 8)}
    (folder / "recovered.safetensors").write_bytes(save(state))
    code, _ = only_torch.reproduce(folder, saved(randomise(ConvNet()), tmp_path / "original.pt"))
    assert "head.weight should have the shape (4, 4)" in code


def test_answers_that_differ_from_the_stored_ones_are_said(only_torch, tmp_path):
    folder = write_into(tmp_path, FORMATS["script"].write(shipment()))
    data = load((folder / "recipe.safetensors").read_bytes())
    data["example/outputs"] = data["example/outputs"] + 0.5
    (folder / "recipe.safetensors").write_bytes(save(data))
    code, said = only_torch.reproduce(folder, saved(randomise(ConvNet()), tmp_path / "original.pt"))
    assert code == 1 and "Largest difference on 8 stored examples: 0.5" in said


def test_values_that_pruning_computed_are_given():
    """Here a bias is not what the dense network held: it must be in the files, and the check still passes."""
    start = shipment()
    state = {key: value.clone() for key, value in start.pruned.module.state_dict().items()}
    state["head.bias"] += 1
    moved = trace(start.pruned.module, start.dense.example_input, start.dense.name)
    moved.module.load_state_dict(state)
    out = replace(start, pruned=moved)
    found = checked(FORMATS["script"], out)
    assert torch.equal(load(found.files["recipe.safetensors"])["given/head.bias"], state["head.bias"])
    assert found.difference == 0


def test_a_script_that_fails_is_an_export_that_fails():
    out = shipment()
    files = FORMATS["script"].write(out) | {"recipe.json": b"{}"}
    with pytest.raises(ExportError, match="The script does not reproduce the network: KeyError"):
        FORMATS["script"].answers(files, out.examples.inputs, out.dense)


def carried_out(program: str) -> None:
    out = shipment()
    FORMATS["script"].answers({"reproduce.py": program.encode()}, out.examples.inputs, out.dense)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", r"ended from outside \(signal 9\)"),
        ("raise OSError(28, 'No space left on device')", "No space left on device"),
        ("raise MemoryError", "MemoryError"),
    ],
)
def test_a_script_that_the_machine_ends_says_nothing_of_the_format(program, words):
    with pytest.raises(UnfinishedError, match=words):
        carried_out(program)


def test_a_script_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(script, "_TIME", 1.0)
    with pytest.raises(UnfinishedError, match="minutes without having made the network"):
        carried_out("import time\ntime.sleep(600)")


def test_a_script_runs_on_one_thread_beside_its_own_files_alone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with pytest.raises(ExportError, match=r"1, reproduce\.py, original\.safetensors, pruned\.pt, None, True"):
        carried_out(
            "import importlib.util, os, sys\n"
            "there = os.path.exists(os.path.join(os.path.dirname(os.path.abspath(__file__)), sys.argv[1]))\n"
            "print(os.environ['OMP_NUM_THREADS'], *sys.argv, importlib.util.find_spec('analysis'), there, sep=', ')\n"
            "sys.exit(1)"
        )

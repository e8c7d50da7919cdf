"""From two files to a network with its data: what is inferred, what is refused, step by step."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import nn

import sample_models
from analysis.errors import DataError, NetworkError
from analysis.sources import (
    Files,
    Settings,
    needs_architecture,
    open_files,
    open_folder,
    try_normalisations,
    write_folder,
)
from tests.networks import sample_module

RNG = np.random.default_rng(0)


def exported(model: nn.Module, x: torch.Tensor) -> bytes:
    program = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    file = io.BytesIO()
    torch.export.save(program, file)
    return file.getvalue()


def npz(x: np.ndarray, y: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, x=x, y=y)
    return file.getvalue()


def mlp(outputs: int = 3) -> bytes:
    torch.manual_seed(0)
    return exported(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, outputs)), torch.zeros(2, 6))


def files(network: bytes, data: bytes, **settings: str) -> Files:
    return Files(network, data, Settings(**{"network_file": "net.pt2", "data_file": "d.npz"} | settings))


FEATURES = RNG.normal(size=(90, 6)).astype(np.float32)


@pytest.mark.parametrize(
    ("outputs", "targets", "task"),
    [
        (3, np.arange(90) % 3, "classification"),
        (1, np.arange(90) % 2, "binary"),
        (1, RNG.normal(size=90), "regression"),
    ],
)
def test_the_task_follows_from_targets_and_outputs(outputs: int, targets: np.ndarray, task: str) -> None:
    opened = open_files(files(mlp(outputs), npz(FEATURES, targets)))
    assert opened.dataset.task.name == task
    assert len(opened.dataset.evaluation) == 72 and len(opened.dataset.calibration) == 18
    assert [group.verdict for group in opened.network.groups] == ["exact", "refused"]


def test_the_answers_are_those_of_the_module_that_was_saved() -> None:
    opened = open_files(files(mlp(), npz(FEATURES, np.arange(90) % 3)))
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.from_numpy(FEATURES)
    torch.testing.assert_close(opened.network.module(x), module(x))


def test_the_steps_are_said_in_order() -> None:
    steps: list[str] = []
    open_files(files(mlp(), npz(FEATURES, np.arange(90) % 3)), say=steps.append)
    assert steps[:3] == ["Reading net.pt2", "Reading d.npz", "Measuring"]
    assert steps[3:] and all(step.startswith("Checking groups") for step in steps[3:])
    assert steps[-1].endswith("100%")


def test_bytes_run_from_0_to_1_unless_something_else_is_chosen() -> None:
    pixels = RNG.integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)
    data = npz(pixels, np.arange(60) % 10)
    network = exported(sample_module("digits-cnn"), torch.zeros(2, 1, 8, 8))
    inputs = open_files(files(network, data)).dataset.evaluation.inputs
    assert float(inputs.min()) == 0 and float(inputs.max()) == 1
    inputs = open_files(files(network, data, normalisation="symmetric")).dataset.evaluation.inputs
    assert float(inputs.min()) == -1 and float(inputs.max()) == 1


def test_every_normalisation_that_is_tried_is_measured_as_if_it_had_been_chosen() -> None:
    pixels = RNG.integers(0, 256, (200, 1, 8, 8), dtype=np.uint8)
    network = exported(sample_module("digits-cnn"), torch.zeros(2, 1, 8, 8))
    given = files(network, npz(pixels, np.arange(200) % 10))
    tried = try_normalisations(given)
    assert {"unit", "symmetric", "mnist", "standardised"} <= tried.keys() and "imagenet" not in tried
    for key, quality in tried.items():
        opened = open_files(files(network, given.data, normalisation=key))
        split = opened.dataset.evaluation
        right = (opened.network.module(split.inputs).argmax(dim=1) == split.targets).double().mean()
        assert quality.value == pytest.approx(float(right))


def weights(name: str) -> bytes:
    return save({key: value.contiguous() for key, value in sample_module(name).state_dict().items()})


def test_weights_alone_need_their_architecture() -> None:
    split = sample_models.load("digits-cnn").dataset.evaluation
    data = npz(split.inputs[:50].numpy(), split.targets[:50].numpy())
    named = {"network_file": "w.safetensors", "architecture": "prunescope/digits-cnn"}
    opened = open_files(files(weights("digits-cnn"), data, **named), sample_models.ARCHITECTURES)
    x = split.inputs[:20]
    torch.testing.assert_close(opened.network.module(x), sample_models.load("digits-cnn").network.module(x))
    with pytest.raises(NetworkError, match="'prunescope/digits-cnn' is not known here"):
        open_files(files(weights("digits-cnn"), data, **named))
    with pytest.raises(NetworkError, match=r"w\.safetensors does not fit digits-cnn"):
        open_files(files(weights("digits-mlp"), data, **named), sample_models.ARCHITECTURES)
    assert [needs_architecture(name) for name in ("a.PT", "b.pth", "c.safetensors", "d.pt2")] == [
        True, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize("name", sample_models.names())
def test_the_shipped_architectures_read_what_their_samples_read(name: str) -> None:
    architecture = next(a for a in sample_models.ARCHITECTURES if a.key == f"prunescope/{name}")
    sample = sample_models.load(name)
    assert architecture.input_shape == tuple(sample.network.example_input.shape[1:])
    assert architecture.build().state_dict().keys() == sample_module(name).state_dict().keys()


@pytest.mark.parametrize(
    ("network", "data", "error", "message"),
    [
        (b"", npz(FEATURES, np.arange(90) % 3), NetworkError, r"net"),
        (None, b"PK", DataError, r"d\.npz"),
        (None, npz(FEATURES[:, :5], np.arange(90) % 3), DataError, r"shape \(6,\)"),
        (None, npz(FEATURES, np.arange(90) % 4), DataError, "tells 3 classes apart"),
        (None, npz(FEATURES[:5], np.arange(5) % 3), DataError, "at least 10"),
    ],
)
def test_what_does_not_fit_is_refused(
    network: bytes | None, data: bytes, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        open_files(files(mlp() if network is None else network, data))


def test_a_folder_opens_as_its_files_do(tmp_path) -> None:
    given = files(mlp(), npz(FEATURES, np.arange(90) % 3))
    folder = tmp_path / given.name
    folder.mkdir()
    write_folder(folder, given)
    first, again = open_files(given), open_folder(folder)
    assert again.network.name == first.network.name == given.name
    assert torch.equal(again.dataset.evaluation.inputs, first.dataset.evaluation.inputs)

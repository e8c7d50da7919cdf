"""What is handed out was loaded back, compared and measured; what answers otherwise is not handed out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import sample_models
from analysis.errors import ExportError
from analysis.export import FORMATS, checked
from analysis.export import shipment as shipment_module
from analysis.export.unfinished import UnfinishedError
from analysis.tasks import BINARY, CLASSIFICATION, REGRESSION
from sample_models.catalog import BY_NAME
from tests.export.shipments import dataset_of, plan_of, shipped
from tests.networks import Mlp, load, randomise, same, snapshot, split


def mlp(granularity="channel", *, task=CLASSIFICATION, outputs=3, count=20):
    network = load(randomise(Mlp(outputs=outputs)), (5,))
    return shipped(network, dataset_of(split((5,), 2, count, task=task), task), plan_of(network, granularity))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", BY_NAME)
def test_every_sample_leaves_in_every_format(name, kind):
    opened = sample_models.load(name)
    data = replace(opened.dataset, evaluation=opened.dataset.evaluation.sample(200))
    granularity = "weight" if kind == "packed" else "channel"
    shipment = shipped(opened.network, data, plan_of(opened.network, granularity, 0.3))
    found = checked(FORMATS[kind], shipment)
    with torch.no_grad():
        expected = shipment.pruned.module(data.evaluation.inputs)
    assert found.examples == len(data.evaluation)
    assert found.difference <= FORMATS[kind].tolerance * max(1.0, float(expected.abs().max()))
    if name == "auto-mpg-mlp":
        errors = (expected[:, 0] - data.evaluation.targets).double()
        assert found.quality["rmse"].value == pytest.approx(float((errors**2).mean().sqrt()), rel=1e-4)
    else:
        right = (expected.argmax(1) == data.evaluation.targets).double().mean()
        assert found.quality["accuracy"].value == pytest.approx(float(right))


@pytest.mark.parametrize("kind", FORMATS)
def test_writing_changes_neither_network(kind):
    shipment = mlp()
    before = snapshot(shipment.dense.module), snapshot(shipment.pruned.module)
    checked(FORMATS[kind], shipment)
    assert same(before[0], snapshot(shipment.dense.module)) and same(
        before[1], snapshot(shipment.pruned.module)
    )


@pytest.mark.parametrize(("task", "outputs", "key"), [(BINARY, 1, "accuracy"), (REGRESSION, 1, "r2")])
def test_a_single_output_is_measured_as_its_task_says(task, outputs, key):
    assert key in checked(FORMATS["safetensors"], mlp(task=task, outputs=outputs)).quality


def test_two_examples_are_enough():
    assert checked(FORMATS["safetensors"], mlp(count=2)).examples == 2


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda said: said + 1e-3, "answers otherwise than the network: by up to 0.001 on 20 examples"),
        (lambda said: said * float("nan"), "or with NaN"),
        (lambda said: said[:, :2], r"shape \(20, 2\) where the network answers \(20, 3\)"),
    ],
)
def test_files_that_answer_otherwise_are_not_handed_out(wrong, words):
    shipment = mlp()
    broken = replace(
        FORMATS["pt2"],
        answers=lambda files, inputs, dense: wrong(FORMATS["pt2"].answers(files, inputs, dense)),
    )
    with pytest.raises(ExportError, match=words):
        checked(broken, shipment)


def test_the_tolerance_grows_with_the_answers():
    shipment = mlp()
    shipment.__dict__["expected"] = shipment.expected * 1e4  # as if it answered in ten thousands
    rounded = replace(
        FORMATS["pt2"],
        answers=lambda files, inputs, dense: (
            shipment.expected + 1e-5 * float(shipment.expected.abs().max()) / 2
        ),
    )
    assert checked(rounded, shipment).difference > 1e-3


def test_large_data_are_compared_on_a_named_number_of_examples(monkeypatch):
    monkeypatch.setattr(shipment_module, "MOST_EXAMPLES", 12)
    assert checked(FORMATS["safetensors"], mlp()).examples == 12


def test_what_a_library_raises_is_said_with_the_network_and_a_remedy():
    def fails(_shipment):
        raise RuntimeError("storage has no place\nat line 3")

    with pytest.raises(
        ExportError, match=r"cannot be made of tiny: storage has no place\. It is not handed out"
    ):
        checked(replace(FORMATS["pt2"], write=fails), mlp())


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        MemoryError(),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        ),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_the_machine_lacks_is_not_said_of_the_format(error, wrapped):
    def fails(_shipment):
        if not wrapped:
            raise error
        try:
            raise error
        except Exception as cause:
            raise ExportError("torch.export cannot follow tiny. Take another.") from cause

    with pytest.raises(UnfinishedError, match=r"not finished on this machine: .+ export again"):
        checked(replace(FORMATS["pt2"], write=fails), mlp())


def test_source_that_python_does_not_find_is_about_the_network():
    def fails(_shipment):
        raise OSError("could not get source code")

    with pytest.raises(ExportError, match="could not get source code"):
        checked(replace(FORMATS["pt2"], write=fails), mlp())


@pytest.mark.parametrize("kind", FORMATS)
def test_a_format_names_its_files(kind):
    assert {*FORMATS[kind].write(mlp())} <= {*FORMATS[kind].names}

"""The unit of exports: what its files answer, what is kept, what is known, what cannot be made."""

from __future__ import annotations

import copy
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from analysis.errors import ExportError
from analysis.export import folder
from analysis.export.folder import ExportsError, exports_here
from analysis.export.registry import FORMATS
from analysis.export.unfinished import UnfinishedError
from analysis.network import Network
from analysis.pruning.plan import Plan, uniform_plan
from analysis.recovery.keep import keep_here
from analysis.recovery.recovered import Step, recovered_from
from analysis.tasks import BINARY, CLASSIFICATION, REGRESSION
from analysis.units import Case, Message, find_unit
from analysis.units.export import from_data, parameters, run
from tests.networks import ConvNet, Mlp, dataset, load, randomise


@pytest.fixture
def given() -> Case:
    network, data = load(randomise(ConvNet()), (2, 5, 5)), dataset((2, 5, 5), 4, 60)
    return Case(network, data, data.evaluation, uniform_plan(network, "l1", "channel", 0.4))


def parts_of(
    case: Case, *formats: str, known: tuple[Message, ...] = (), say=lambda share: None
) -> list[Message]:
    """The parts as they come through a worker's pipe."""
    return [json.loads(json.dumps(part)) for part in run(case, parameters(formats), known, say)]


def answers(digest: str, inputs: Tensor) -> Tensor:
    """What a kept .pt2 answers, by torch alone."""
    (data,) = exports_here().get(digest).values()
    with torch.no_grad():
        return torch.export.load(io.BytesIO(data)).module()(inputs)


def own_answers(network: Network, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return network.module(inputs)


def test_a_part_says_what_its_files_are_and_answer(given):
    said: list[float] = []
    pt2, weights = map(from_data, parts_of(given, "pt2", "safetensors", say=said.append))
    assert said == [0.5, 1.0] and [pt2.name, weights.name] == ["pt2", "safetensors"]
    inputs, targets = given.split.inputs, given.split.targets
    found, expected = answers(pt2.exported, inputs), own_answers(given.pruned, inputs)
    assert torch.allclose(found, expected, atol=1e-5)
    assert pt2.difference == pytest.approx(float((found - expected).abs().max()), abs=1e-6)
    for part in (pt2, weights):
        kept = exports_here().get(part.exported)
        assert {name: len(content) for name, content in kept.items()} == part.files
        assert part.bytes == sum(map(len, kept.values())) and not part.reason
        assert part.examples == len(given.split) and 0 <= part.difference <= part.allowed
        assert part.allowed == pytest.approx(1e-5 * max(1.0, float(expected.abs().max())))
        accuracy = float((expected.argmax(1) == targets).double().mean())
        assert part.quality["accuracy"].value == pytest.approx(accuracy)


def test_what_is_known_is_not_made_again(given, monkeypatch):
    first = parts_of(given, "pt2", "safetensors")

    def never(shipment):
        raise AssertionError("made again")

    for name in ("pt2", "safetensors"):
        monkeypatch.setitem(FORMATS, name, replace(FORMATS[name], write=never))
    assert parts_of(given, "pt2", "safetensors", known=tuple(first)) == []


def test_a_format_that_cannot_be_made_says_why_and_the_others_go_on(given, monkeypatch):
    def refuse(shipment):
        raise ExportError("aten::nothing has no counterpart. Use .pt2.")

    monkeypatch.setitem(FORMATS, "onnx", replace(FORMATS["onnx"], write=refuse))
    onnx, pt2 = map(from_data, parts_of(given, "onnx", "pt2"))
    assert onnx.reason == "aten::nothing has no counterpart. Use .pt2." and not onnx.exported
    assert pt2.exported and not pt2.reason


def test_files_that_answer_otherwise_are_not_kept(given, monkeypatch, tmp_path):
    form = FORMATS["pt2"]

    def other(files, inputs, dense):
        return form.answers(files, inputs, dense) + 1e-2

    monkeypatch.setitem(FORMATS, "pt2", replace(form, answers=other))
    (part,) = map(from_data, parts_of(given, "pt2"))
    assert part.reason and not part.exported
    assert not (tmp_path / "exports").exists()


def test_a_full_disk_is_no_finding(given, monkeypatch):
    def full(shipment):
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(FORMATS, "onnx", replace(FORMATS["onnx"], write=full))
    with pytest.raises(UnfinishedError, match="No space left on device"):
        parts_of(given, "onnx")


def test_a_folder_that_cannot_be_written_is_no_refusal_of_a_format(given, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(folder.FOLDER, str(tmp_path / "file" / "exports"))
    with pytest.raises(ExportsError, match="PRUNESCOPE_EXPORTS"):
        parts_of(given, "pt2")


def test_a_recovered_plan_leaves_with_its_weights(given):
    module = copy.deepcopy(given.pruned.module)
    with torch.no_grad():
        module.get_submodule("head").weight.neg_()
    network = replace(given.pruned, module=module)
    digest = keep_here().put(recovered_from(network, given.selection, (Step("turning", {}, 1.0),)))
    case = Case(given.network, given.dataset, given.split, replace(given.plan, recovered=digest))
    (part,) = map(from_data, parts_of(case, "pt2"))
    inputs = given.split.inputs
    found = answers(part.exported, inputs)
    assert torch.allclose(found, own_answers(network, inputs), atol=1e-5)
    assert not torch.allclose(found, own_answers(given.pruned, inputs), atol=1e-3)


@pytest.mark.parametrize("task", [CLASSIFICATION, BINARY, REGRESSION], ids=lambda task: task.name)
@pytest.mark.parametrize("ratio", [0.0, 0.5])
def test_every_task_leaves_dense_and_pruned(task, ratio):
    network = load(randomise(Mlp(outputs=3 if task is CLASSIFICATION else 1)), (5,))
    data = dataset((5,), 3 if task is CLASSIFICATION else 2, 30, task=task)
    plan = uniform_plan(network, "l1", "weight", ratio) if ratio else Plan(network.name, "l1")
    (part,) = map(from_data, parts_of(Case(network, data, data.evaluation, plan), "pt2"))
    assert not part.reason and task.headline.key in part.quality
    case = Case(network, data, data.evaluation, plan)
    inputs = data.evaluation.inputs
    assert torch.allclose(answers(part.exported, inputs), own_answers(case.pruned, inputs), atol=1e-5)


def test_nothing_of_the_loaded_network_changes(given):
    before = {name: value.clone() for name, value in given.network.module.state_dict().items()}
    parts_of(given, "pt2", "safetensors")
    after = given.network.module.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not any(module.training for module in given.network.module.modules())


def test_it_is_found_by_its_kind():
    assert find_unit("export") is run


def test_each_test_exports_into_a_folder_of_its_own(tmp_path: Path):
    assert exports_here().folder == tmp_path / "exports"

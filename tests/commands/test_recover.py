"""``python -m analysis recover``: what it reports is what was kept, and the file that it saves answers alike."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

import sample_models
from analysis.commands.recover import ALL
from analysis.importance.registry import score
from analysis.measure.quality import evaluate
from analysis.pruning.plan import uniform_plan
from analysis.pruning.plan_json import from_json, to_json
from analysis.pruning.prune import prune
from analysis.recovery.keep import keep_here
from analysis.recovery.recovered import restore

NETWORK = "digits-cnn"
CUT = ("recover", NETWORK, "--all", "0.5")


def accuracy(network) -> float:
    dataset = sample_models.load(NETWORK).dataset
    return float(evaluate(network, dataset.evaluation, dataset.task).correct.double().mean())


@pytest.mark.parametrize("method", ALL)
def test_what_is_reported_is_what_was_kept(report, tmp_path, method):
    network = sample_models.load(NETWORK).network
    where = tmp_path / "plan.json"
    found = report(*CUT, "--method", method, "--epochs", 1, "--steps", 2, "--save-plan", where)
    plan = from_json(where.read_text())
    assert plan.as_pruned == uniform_plan(network, "l1", "channel", 0.5)
    kept = keep_here().get(plan.recovered)
    assert [step.method for step in kept.steps] == [method]
    now = accuracy(restore(network, kept))
    was = accuracy(prune(network, plan.as_pruned, score(network, "l1")))
    assert found["quality"]["accuracy"]["value"] == pytest.approx(now)
    assert found["pruned"]["value"] == pytest.approx(was)
    (step,) = found["recovered"]
    assert step["change"]["value"] == pytest.approx(now - was) and step["seconds"] > 0
    assert step["per_second"] == pytest.approx(step["change"]["value"] / step["seconds"])


def test_several_methods_take_turns_and_a_recovered_plan_goes_on(call, tmp_path):
    where = tmp_path / "plan.json"
    code, out, err = call(
        *CUT, "--method", "merging", "--method", "recalibration", "--save-plan", where, "--json"
    )
    assert code == 0, err
    first = json.loads(out)
    assert [entry["method"] for entry in first["recovered"]] == ["merging", "recalibration"]
    code, out, err = call("measure", NETWORK, "--plan", where, "--json")
    assert code == 0, err
    assert json.loads(out)["quality"]["accuracy"] == first["quality"]["accuracy"]
    again = ("recover", NETWORK, "--plan", where, "--method", "bias compensation", "--save-plan", where)
    code, out, err = call(*again)
    assert code == 0 and "bias compensation" in out
    steps = keep_here().get(from_json(where.read_text()).recovered).steps
    assert [step.method for step in steps] == ["merging", "recalibration", "bias compensation"]


def test_the_file_answers_as_the_kept_network(call, tmp_path):
    file, where = tmp_path / "out.pt2", tmp_path / "plan.json"
    code, _, err = call(*CUT, "--method", "recalibration", "-o", file, "--save-plan", where)
    assert code == 0, err
    opened = sample_models.load(NETWORK)
    network = restore(opened.network, keep_here().get(from_json(where.read_text()).recovered))
    inputs = opened.dataset.evaluation.inputs[:9]
    with torch.no_grad():
        assert torch.allclose(torch.export.load(file).module()(inputs), network.module(inputs), atol=1e-5)


def test_options_reach_the_recipe(call, tmp_path):
    where = tmp_path / "plan.json"
    given = ("--epochs", 2, "--learning-rate", 1e-9, "--seed", 7, "--save-plan", where)
    code, _, err = call(*CUT, "--method", "fine-tuning", *given)
    assert code == 0, err
    kept = keep_here().get(from_json(where.read_text()).recovered)
    assert kept.steps[0].settings == {
        "epochs": 2,
        "learning_rate": 1e-9,
        "seed": 7,
        "epoch": kept.steps[0].settings["epoch"],
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--all", 0), "nothing to recover"),
        (("--all", 0.5, "--method", "recalibration", "--method", "gradual"), "let it come first"),
        (("--all", 0.5, "--learning-rate", -1), "learning rate"),
        (("--all", 0.5, "--soft", 2), "share of soft answers"),
        (("--all", 0.5, "--method", "prayer"), "prayer"),
        (("--all", 0.5, "--method", "gradual", "--stop-below", 1.1, "--epochs", 1), "first step falls below"),
        ((), "required"),
    ],
)
def test_what_is_refused_is_refused_in_one_line(call, arguments, words):
    code, out, err = call("recover", NETWORK, *arguments)
    assert code == 2 and out == ""
    assert words in err.strip().splitlines()[-1]


def test_weights_that_are_not_here_are_refused_with_the_remedy(call, tmp_path):
    where = tmp_path / "plan.json"
    plan = uniform_plan(sample_models.load(NETWORK).network, "l1", "channel", 0.5)
    where.write_text(to_json(replace(plan, recovered="0" * 64)))
    for command in (("measure", NETWORK), ("recover", NETWORK)):
        code, _, err = call(*command, "--plan", where)
        assert code == 2 and "not kept here" in err


def test_a_training_that_kept_its_start_says_so(call, tmp_path):
    """Recalibrated, the network is right on nearly all held-out examples already, and no epoch beats that."""
    first, then = tmp_path / "first.json", tmp_path / "then.json"
    assert call("allocate", NETWORK, "--goal", "macs=0.25", "-o", first)[0] == 0
    asked = ("recover", NETWORK, "--plan", first, "--epochs", 2, "--save-plan", then)
    code, out, err = call(*asked)
    assert code == 0, err
    assert "after recalibration" in out and "as pruned" not in out
    line = next(line for line in out.splitlines() if line.startswith("  distillation"))
    assert "identical answers" in line and "none of 2 epochs was better" in line and "unchanged" in line
    network = sample_models.load(NETWORK).network
    before, after = (
        restore(network, keep_here().get(from_json(path.read_text()).recovered)) for path in (first, then)
    )
    assert all(
        torch.equal(one, other)
        for one, other in zip(
            before.module.state_dict().values(), after.module.state_dict().values(), strict=True
        )
    )
    code, out, _ = call(*asked, "--json")
    (entry,) = json.loads(out)["recovered"]
    assert entry["identical"] and (entry["epoch"], entry["epochs"]) == (0, 2)


def test_only_inspect_and_measure_list_layers(call):
    code, out, _ = call(*CUT, "--method", "recalibration")
    assert code == 0 and "layers" not in out.splitlines() and "groups" not in out.splitlines()

"""The units that propose and recover: parts, what is known, and the way through plain data."""

import copy
import json
from dataclasses import replace

import pytest
import torch

from analysis.allocation.appraisal import appraise
from analysis.allocation.goals import Goal
from analysis.allocation.problem import make_problem
from analysis.allocation.proposal import TimingError, propose
from analysis.allocation.registry import METHODS
from analysis.allocation.repaired_curves import repaired_sweep
from analysis.errors import PlanError
from analysis.importance.registry import score
from analysis.live import Gauge
from analysis.measure.measurement import measure
from analysis.measure.quality import Interval, evaluate, headline, headline_change
from analysis.network import replace_modules
from analysis.pruning.plan import Plan, uniform_plan
from analysis.pruning.prune import prune
from analysis.recovery.keep import FOLDER, KeepError, keep_here
from analysis.recovery.recipe import Recipe
from analysis.recovery.recovered import restore
from analysis.sensitivity import Sensitivity, curves_of, sweep
from analysis.tasks import REGRESSION
from analysis.units import Case, find_unit, once, proposals, recovered_proposals
from tests.networks import ConvNet, Mlp, dataset, load, randomise, same, snapshot

QUIET = [].append


def case(examples: int = 60) -> Case:
    network, data = load(randomise(ConvNet()), (2, 5, 5)), dataset((2, 5, 5), 4, examples)
    data.evaluation.targets[:] = network.module(data.evaluation.inputs).argmax(1)
    return Case(network, data, data.evaluation, Plan(network.name, "l1"))


def plain(parts) -> list[dict]:
    return json.loads(json.dumps(list(parts), allow_nan=False))


GOAL = Goal("macs", 0.5)


def test_a_part_for_every_point_and_method_as_the_engine_finds_them():
    given, said = case(), []
    wanted = plain([proposals.parameters(GOAL, "channel", "l1")])[0]
    parts = plain(proposals.run(given, wanted, [], said.append))
    gauge, scores = Gauge(given.network, given.split, given.dataset.task), score(given.network, "l1")
    points = list(sweep(gauge, scores, "channel"))
    assert proposals.points_of(parts) == points
    problem = make_problem(gauge, scores, "channel", curves=curves_of(points))
    dense = measure(given.network, given.split, given.dataset.task)
    found = proposals.proposals_of(parts)
    assert [made.method for made in found] == list(METHODS)
    for made in found:
        assert made.proposal is not None and made.appraisal is not None
        expected = propose(problem, GOAL, made.method)
        assert made.proposal.plan == expected.plan and made.proposal.predicted == expected.predicted
        network = prune(given.network, made.proposal.plan, scores)
        measured = appraise(measure(network, given.split, given.dataset.task, dense=dense), dense)
        assert (made.appraisal.quality, made.appraisal.change) == (measured.quality, measured.change)
        counted = {kind: value for kind, value in measured.shares.items() if kind != "latency"}
        assert {kind: made.appraisal.shares[kind] for kind in counted} == counted
        assert made.appraisal.shares["macs"] == made.proposal.share <= 0.5
    whole = proposals.dense_of(parts)
    assert whole is not None and whole.quality == dense.headline
    assert all(share == 1 for kind, share in whole.shares.items())
    assert said == sorted(said) and said[-1] == 1


def test_what_is_known_is_not_found_again():
    given = case()
    wanted = proposals.parameters(GOAL, "channel", "l1", order="leaf-first")
    parts = plain(proposals.run(given, wanted, [], QUIET))
    assert plain(proposals.run(given, wanted, parts, QUIET)) == []
    names = [part["name"] for part in parts]
    assert len(set(names)) == len(names) and "greedy leaf-first" in names
    some = [part for part in parts if "point" in part or part["name"] == "erk"]
    again = plain(proposals.run(given, wanted, some, QUIET))
    assert {part["name"] for part in again} == set(names) - {part["name"] for part in some}
    assert len(once("proposals", [*parts, *again])) == len(parts)


def test_points_that_are_known_from_elsewhere_are_not_measured_again():
    given = case()
    wanted = proposals.parameters(GOAL, "channel", "l1", ["greedy", "knapsack"])
    parts = plain(proposals.run(given, wanted, [], QUIET))
    hints = plain([proposals.hints(proposals.points_of(parts))])[0]
    found = plain(proposals.run(replace(given, hints=hints), wanted, [], QUIET))
    assert [part["name"] for part in found] == ["dense", "greedy smallest-loss", "knapsack"]
    pairs = zip(proposals.proposals_of(found), proposals.proposals_of(parts), strict=True)
    assert all(one.proposal.plan == other.proposal.plan for one, other in pairs)


def test_without_a_method_that_reads_curves_none_are_measured():
    wanted = proposals.parameters(GOAL, "channel", "l1", ["uniform", "erk"])
    parts = plain(proposals.run(case(), wanted, [], QUIET))
    assert [part["name"] for part in parts] == ["dense", "uniform", "erk"]
    assert all(made.proposal.predicted is None for made in proposals.proposals_of(parts))


def test_a_goal_out_of_reach_is_refused_and_held_targets_stay():
    with pytest.raises(PlanError, match="out of reach"):
        list(proposals.run(case(), proposals.parameters(Goal("macs", 1e-6), "channel", "l1"), [], QUIET))
    wanted = proposals.parameters(Goal("macs", 0.8), "channel", "l1", ["lamp"], held={"conv1": 1 / 3})
    (made,) = proposals.proposals_of(plain(proposals.run(case(), wanted, [], QUIET)))
    assert made.proposal.plan.ratios["conv1"] == 1 / 3


def test_a_method_that_has_nothing_to_weigh_says_so_and_the_others_go_on():
    given = case()
    given.split.targets[:] = (given.split.targets + 1) % 4  # the network is always wrong
    wanted = proposals.parameters(GOAL, "channel", "l1", ["greedy", "uniform"])
    refused, made = proposals.proposals_of(plain(proposals.run(given, wanted, [], QUIET)))
    assert refused.proposal is None and "no better than guessing" in refused.refused
    assert made.proposal is not None and made.refused == ""


def test_repaired_plans_name_the_weights_that_were_measured():
    given = case()
    wanted = proposals.parameters(GOAL, "channel", "l1", ["greedy", "uniform"], repaired=True)
    parts = plain(proposals.run(given, wanted, [], QUIET))
    found = repaired_sweep(given.network, score(given.network, "l1"), "channel", given.dataset, given.split)
    assert proposals.points_of(parts) == list(found)
    for made in proposals.proposals_of(parts):
        kept = keep_here().get(made.proposal.plan.recovered)
        assert [step.method for step in kept.steps] == ["recalibration"]
        right = evaluate(restore(given.network, kept), given.split, given.dataset.task)
        assert made.appraisal.quality == headline(right)
        plans = recovered_proposals.parameters({"it": made.proposal.plan}, Recipe(epochs=1))
        assert len(list(recovered_proposals.run(given, plans, [], QUIET))) == 1
    hints = proposals.hints([Sensitivity("conv1", 0.3, Interval(0, 0, 0), 60)])
    again = proposals.run(replace(given, hints=hints), wanted, [], QUIET)
    assert proposals.points_of(plain(again)) == proposals.points_of(parts), (
        "points of cuts as they are count for nothing"
    )


def test_recovery_starts_from_each_plan_and_is_measured_on_the_evaluation_examples():
    given = case()
    before = snapshot(given.network.module)
    plans = {f"uniform {r}": uniform_plan(given.network, "l1", "channel", r) for r in (0.3, 0.6)}
    wanted = plain([recovered_proposals.parameters(plans, Recipe(epochs=2, learning_rate=0.01))])[0]
    said = []
    parts = plain(recovered_proposals.run(given, wanted, [], said.append))
    assert [part["name"] for part in parts] == list(plans)
    again = plain(recovered_proposals.run(given, wanted, parts[:1], QUIET))
    for part, other in zip(parts[1:], again, strict=True):
        alike = {"seconds": 0, "recovered": ""}  # the kept file tells the time it took
        assert {**part, **alike} == {**other, **alike}
    for part in map(recovered_proposals.from_data, parts):
        assert part.epochs == 2 and 0 <= part.epoch <= 2 and part.seconds > 0
        assert part.quality.low <= part.quality.value <= part.quality.high
        assert part.change.value == pytest.approx(part.quality.value - 1)  # the dense network is always right
    assert said == sorted(said) and said[-1] == 1
    assert same(before, snapshot(given.network.module))


def test_a_network_that_training_does_not_help_stands_as_it_was_cut():
    """Nothing of an untouched network that is right about every held-out example can get better."""
    given = case()
    given.dataset.calibration.targets[:] = given.network.module(given.dataset.calibration.inputs).argmax(1)
    plan = Plan(given.network.name, "l1")
    wanted = recovered_proposals.parameters({"dense": plan}, Recipe(epochs=1))
    (part,) = map(recovered_proposals.from_data, recovered_proposals.run(given, wanted, [], QUIET))
    own = evaluate(given.network, given.split, given.dataset.task)
    assert part.epoch == 0
    assert (part.quality, part.change) == (headline(own), headline_change(own, own))


def test_training_that_runs_away_leaves_the_network_as_it_was_cut():
    given = case()
    plan = uniform_plan(given.network, "l1", "channel", 0.3)
    wanted = recovered_proposals.parameters({"u": plan}, Recipe(epochs=3, learning_rate=1e30))
    (part,) = map(recovered_proposals.from_data, recovered_proposals.run(given, wanted, [], QUIET))
    cut = evaluate(prune(given.network, plan), given.split, given.dataset.task)
    assert part.epoch == 0 and part.epochs < 3 and part.quality == headline(cut)


def test_weights_stay_zero_and_regression_has_parts_too():
    network = load(randomise(Mlp(outputs=1)), (5,))
    data = dataset((5,), 1, 60, task=REGRESSION)
    data.evaluation.targets[:] = network.module(data.evaluation.inputs).detach()[:, 0]
    given = Case(network, data, data.evaluation, Plan(network.name, "l1"))
    wanted = proposals.parameters(Goal("floor", 0.9), "weight", "l1", ["lamp", "greedy"])
    found = proposals.proposals_of(plain(proposals.run(given, wanted, [], QUIET)))
    assert all(made.appraisal.quality.value >= 0.9 - 1e-6 for made in found)
    plans = {made.name: made.proposal.plan for made in found}
    wanted = recovered_proposals.parameters(plans, Recipe(epochs=1, learning_rate=0.001))
    assert len(list(recovered_proposals.run(given, wanted, [], QUIET))) == 2


def test_they_are_found_by_their_kinds():
    assert find_unit("proposals") is proposals.run
    assert find_unit("recovered-proposals") is recovered_proposals.run


def bare() -> Case:
    """A network without BatchNorm, always right on the examples it is measured on."""
    network, data = load(randomise(Mlp()), (5,)), dataset((5,), 3, 60)
    data.evaluation.targets[:] = network.module(data.evaluation.inputs).argmax(1)
    return Case(network, data, data.evaluation, Plan(network.name, "l1"))


def test_a_repair_that_misses_the_goal_is_refused(monkeypatch):
    """The repair gives all weights back, and of another network those that are left lose more."""
    given, kept = bare(), []
    monkeypatch.setattr(proposals, "keep_here", lambda: kept.append(1))
    monkeypatch.setattr(proposals, "repair", lambda pruned: pruned.dense)
    for kind, words in (("connections", "100% of the nonzero connections"), ("best-bytes", "best encoding")):
        wanted = proposals.parameters(Goal(kind, 0.7), "weight", "l1", ["uniform"], repaired=True)
        (made,) = proposals.proposals_of(plain(proposals.run(given, wanted, [], QUIET)))
        assert made.proposal is None and words in made.refused and "without repair" in made.refused
    wrong = replace_modules(given.network, {"head": torch.nn.Linear(6, 3).requires_grad_(False)})
    monkeypatch.setattr(proposals, "repair", lambda pruned: wrong)
    wanted = proposals.parameters(Goal("floor", 1.0), "weight", "l1", ["uniform"], repaired=True)
    (made,) = proposals.proposals_of(plain(proposals.run(given, wanted, [], QUIET)))
    assert made.proposal is None and "less than 100.0%" in made.refused
    assert kept == []


def test_where_a_repair_takes_room_more_goes_until_the_goal_is_met(monkeypatch):
    """Each repair gives back two weights in ten that had gone: 0.6 is left where 0.5 were."""
    given = bare()

    def giving_back(pruned):
        changed = {}
        for name, mask in pruned.selection.weights.items():
            changed[name] = copy.deepcopy(pruned.network.module.get_submodule(name))
            back = mask.flatten().nonzero()[::5, 0]
            with torch.no_grad():
                changed[name].weight.view(-1)[back] = 1.0
        return replace_modules(pruned.network, changed)

    monkeypatch.setattr(proposals, "repair", giving_back)
    wanted = proposals.parameters(Goal("connections", 0.6), "weight", "l1", ["uniform"], repaired=True)
    (made,) = proposals.proposals_of(plain(proposals.run(given, wanted, [], QUIET)))
    network = restore(given.network, keep_here().get(made.proposal.plan.recovered))
    left = sum(int(network.weight(name).count_nonzero()) for name in ("fc1", "fc2", "head"))
    assert 0.5 < made.proposal.share == left / (35 + 42 + 18) <= 0.6


def test_the_share_is_that_of_the_repaired_network(monkeypatch):
    given = bare()
    usual = proposals.repair

    def mended(pruned):
        found = usual(pruned)
        head = copy.deepcopy(found.module.head)
        with torch.no_grad():
            head.weight[0] = 0
        return replace_modules(found, {"head": head})

    monkeypatch.setattr(proposals, "repair", mended)
    wanted = proposals.parameters(Goal("connections", 0.7), "weight", "l1", ["uniform"], repaired=True)
    (made,) = proposals.proposals_of(plain(proposals.run(given, wanted, [], QUIET)))
    network = restore(given.network, keep_here().get(made.proposal.plan.recovered))
    left = sum(int(network.weight(name).count_nonzero()) for name in ("fc1", "fc2", "head"))
    assert made.proposal.share == left / (35 + 42 + 18) < 0.7
    assert made.appraisal.shares["connections"] == made.proposal.share


def test_what_is_no_finding_is_raised_and_not_kept(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    wanted = proposals.parameters(GOAL, "channel", "l1", ["uniform", "erk"], repaired=True)
    with monkeypatch.context() as broken, pytest.raises(KeepError):
        broken.setenv(FOLDER, str(tmp_path / "file" / "folder"))
        list(proposals.run(case(), wanted, [], QUIET))

    def timed(problem, goal, method, **options):
        if method == "uniform":
            raise TimingError("not this time")
        return propose(problem, goal, method, **options)

    monkeypatch.setattr(proposals, "propose", timed)
    parts = proposals.run(case(), wanted, [], QUIET)
    assert [next(parts)["name"], next(parts)["name"]] == ["dense", "erk"]
    with pytest.raises(TimingError, match="not this time"):
        next(parts)

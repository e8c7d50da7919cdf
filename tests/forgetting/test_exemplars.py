"""Exemplars: modal labels by hand and by counting, populations, and how hard the found ones are."""

import dataclasses
from collections import Counter

import pytest
import torch

import sample_models
from analysis.errors import CriterionError, DataError, PlanError
from analysis.explain.examples import choose
from analysis.forgetting.exemplars import consensus, difficulty, drawn_criteria, population
from analysis.importance import CRITERIA, score
from analysis.measure.quality import evaluate, wilson
from analysis.pruning.plan import Pick, Plan, make_plan, uniform_plan
from analysis.pruning.prune import prune
from analysis.tasks import REGRESSION
from tests.forgetting.answered import said
from tests.networks import ConvNet, Mlp, dataset, load, randomise, same, snapshot


def tensors(rows):
    return [torch.tensor(row) for row in rows]


def test_a_table_with_a_known_modal_answer():
    dense = torch.tensor([0, 0, 0, 1, 2, 3])
    members = tensors(
        [
            # agreed, outvoted, tied with the dense answer, tied without it, one label, outvoted by the middle
            [0, 1, 0, 2, 2, 1],
            [0, 1, 0, 2, 2, 2],
            [0, 0, 4, 0, 2, 2],
            [1, 1, 4, 0, 2, 3],
        ]
    )
    found = consensus(dense, members)
    assert found.members == 4
    assert found.modal.tolist() == [0, 1, 0, 0, 2, 2]
    assert found.exemplars.tolist() == [False, True, False, True, False, True]
    assert found.dissent.tolist() == [1, 3, 2, 4, 0, 3]


@pytest.mark.parametrize("members", [1, 2, 3, 4, 10])
def test_modal_labels_are_the_counted_ones(members):
    generator = torch.Generator().manual_seed(members)
    dense = torch.randint(4, (300,), generator=generator)
    rows = [torch.randint(4, (300,), generator=generator) for _ in range(members)]
    found = consensus(dense, rows)
    for i, own in enumerate(dense.tolist()):
        counts = Counter(int(row[i]) for row in rows)
        most = [label for label, count in counts.items() if count == max(counts.values())]
        expected = own if own in most else min(most)
        assert int(found.modal[i]) == expected
        assert bool(found.exemplars[i]) == (expected != own)
        assert int(found.dissent[i]) == members - counts[own]


def test_one_member_is_the_plain_comparison():
    dense, other = torch.tensor([0, 1, 2, 2]), torch.tensor([0, 2, 2, 1])
    assert consensus(dense, [other]).exemplars.tolist() == [False, True, False, True]


def test_the_order_of_the_members_means_nothing():
    generator = torch.Generator().manual_seed(0)
    dense, *rows = torch.randint(3, (6, 200), generator=generator)
    one, two = consensus(dense, rows), consensus(dense, rows[::-1])
    assert torch.equal(one.modal, two.modal)
    assert torch.equal(one.dissent, two.dissent)


def test_networks_that_agree_have_no_exemplar():
    dense = torch.tensor([0, 1, 2])
    found = consensus(dense, [dense, dense])
    assert not found.exemplars.any()
    assert not found.dissent.any()
    with pytest.raises(DataError, match="at least one"):
        consensus(dense, [])


@pytest.fixture(scope="module")
def tiny():
    network = load(randomise(ConvNet()), (2, 5, 5))
    return network, dataset((2, 5, 5), 4, 40)


@pytest.mark.parametrize("criterion", ["random", "taylor", "activation-mean"])
def test_members_carry_out_the_same_cuts_with_other_scores(tiny, criterion):
    network, data = tiny
    plan = uniform_plan(network, criterion, "channel", 0.5)
    task = evaluate(network, data.evaluation, data.task).task
    members = list(population(network, plan, data, data.evaluation, task, seeds=range(5)))
    assert [member.seed for member in members] == list(range(5))
    for member in members:
        drawn = dataclasses.replace(data, calibration=data.calibration.sample(20, seed=member.seed))
        scores = score(network, criterion, drawn, seed=member.seed)
        expected = evaluate(prune(network, plan, scores), data.evaluation, task)
        assert torch.equal(member.answers, expected.answers)
    (again,) = population(network, plan, data, data.evaluation, task, seeds=[3])
    assert torch.equal(again.answers, members[3].answers)


class Spy:
    """Calibration examples that note how they are drawn."""

    def __init__(self, calibration):
        self.calibration, self.seen = calibration, []

    def __len__(self):
        return len(self.calibration)

    def sample(self, size, *, seed=0):
        self.seen.append((size, seed))
        return self.calibration.sample(size, seed=seed)


@pytest.mark.parametrize(("count", "looked_at"), [(40, 20), (41, 20), (2000, 512)])
def test_members_look_at_half_of_the_calibration_examples_at_most(tiny, count, looked_at):
    network, data = tiny
    spy = Spy(dataset((2, 5, 5), 4, count).calibration)
    plan = uniform_plan(network, "taylor", "channel", 0.3)
    spied = dataclasses.replace(data, calibration=spy)
    list(population(network, plan, spied, data.evaluation, data.task, seeds=[7]))
    assert spy.seen == [(looked_at, 7)]


def test_with_ample_data_the_first_member_is_the_plan_itself(tiny):
    network, data = tiny
    ample = dataclasses.replace(data, calibration=dataset((2, 5, 5), 4, 1100).calibration)
    plan = uniform_plan(network, "taylor", "channel", 0.5)
    (first,) = population(network, plan, ample, data.evaluation, data.task, seeds=[0])
    own = evaluate(prune(network, plan, score(network, "taylor", ample)), data.evaluation, data.task)
    assert torch.equal(first.answers, own.answers)


def test_criteria_without_chance_are_refused_by_name(tiny):
    network, data = tiny
    for name in ("l1", "l2", "bn-scale"):
        plan = uniform_plan(network, name, "channel", 0.3)
        with pytest.raises(CriterionError, match=CRITERIA[name].label) as caught:
            next(population(network, plan, data, data.evaluation, data.task))
        assert all(CRITERIA[other].label in str(caught.value) for other in ("random", "taylor", "wanda"))


def test_too_few_examples_to_draw_from_are_refused(tiny):
    network, data = tiny
    one = dataclasses.replace(data, calibration=data.calibration.take(torch.arange(1)))
    with pytest.raises(CriterionError, match="too few"):
        next(
            population(
                network, uniform_plan(network, "taylor", "channel", 0.3), one, data.evaluation, data.task
            )
        )
    plan = uniform_plan(network, "random", "channel", 0.3)
    assert next(population(network, plan, one, data.evaluation, data.task)).seed == 0


def test_a_regression_has_no_modal_label():
    network, data = load(randomise(Mlp(outputs=1)), (5,)), dataset((5,), 1, 20, task=REGRESSION)
    plan = uniform_plan(network, "random", "channel", 0.3)
    with pytest.raises(DataError, match="modal label"):
        next(population(network, plan, data, data.evaluation, REGRESSION))


def test_criteria_that_suit_the_cuts(tiny):
    network, _ = tiny
    names = [c.name for c in drawn_criteria(network, uniform_plan(network, "fisher", "channel", 0.3))]
    assert names[0] == "fisher"
    assert set(names) == {c.name for c in CRITERIA.values() if c.needs_data} | {"random"}
    names = [c.name for c in drawn_criteria(network, uniform_plan(network, "l1", "weight", 0.3))]
    assert names == ["taylor", "fisher", "wanda", "movement", "learned-mask", "random"]
    names = [c.name for c in drawn_criteria(network, uniform_plan(network, "random", "weight", 0.3))]
    assert names == ["random", "taylor", "fisher", "wanda", "movement", "learned-mask"]


def test_cancelled_by_its_progress(tiny):
    network, data = tiny
    plan, seen = uniform_plan(network, "taylor", "channel", 0.3), []
    list(population(network, plan, data, data.evaluation, data.task, seeds=range(3), progress=seen.append))
    assert seen == sorted(seen)
    assert seen[-1] == 1

    def stop(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(population(network, plan, data, data.evaluation, data.task, progress=stop))


def test_nothing_is_modified(tiny):
    network, data = tiny
    state, inputs = snapshot(network.module), data.calibration.inputs.clone()
    plan = uniform_plan(network, "taylor", "channel", 0.5)
    list(population(network, plan, data, data.evaluation, data.task, seeds=range(2)))
    assert same(state, snapshot(network.module))
    assert torch.equal(inputs, data.calibration.inputs)


def test_difficulty_by_hand():
    evaluation = said([0, 1, 0, 1, 1], [0, 0, 0, 1, 1], 2)
    found = difficulty(torch.tensor([True, True, False, False, False]), evaluation)
    assert (found.chosen, found.others) == (wilson(1, 2), wilson(3, 3))
    nothing = difficulty(torch.zeros(5, dtype=torch.bool), evaluation)
    assert (nothing.chosen, nothing.others) == (None, wilson(4, 5))
    assert difficulty(torch.ones(5, dtype=torch.bool), evaluation).others is None


@pytest.fixture(scope="module")
def digits():
    opened = sample_models.load("digits-cnn")
    plan = make_plan(opened.network, "taylor", "channel", {"conv2": 0.5, "conv3": 0.4})
    pruned = prune(opened.network, plan, score(opened.network, "taylor", opened.dataset))
    split, task = opened.dataset.evaluation, opened.dataset.task
    before = evaluate(opened.network, split, task)
    return opened, plan, before, evaluate(pruned, split, before.task)


def test_found_exemplars_are_harder_than_the_average_for_both_networks(digits):
    """As Hooker et al. 2019 found of ImageNet."""
    _, _, before, after = digits
    chosen = torch.zeros(len(before.split), dtype=torch.bool)
    chosen[choose("changed", before, after)] = True
    assert torch.equal(chosen, before.answers != after.answers)
    assert chosen.sum() > 10
    for evaluation in (before, after):
        assert evaluation.correct[chosen].double().mean() < evaluation.correct.double().mean()
        found = difficulty(chosen, evaluation)
        assert found.chosen.value < found.others.value


def test_a_populations_exemplars_are_harder_too(digits):
    opened, plan, before, after = digits
    members = list(
        population(opened.network, plan, opened.dataset, before.split, before.task, seeds=range(5))
    )
    found = consensus(before.answers, [member.answers for member in members])
    assert found.exemplars.any()
    for evaluation in (before, after):
        shown = difficulty(found.exemplars, evaluation)
        assert shown.chosen.value < shown.others.value


def test_picks_alone_have_no_population(digits):
    opened, _, before, _ = digits
    name = opened.network.name
    plan = Plan(name, "random", (), (Pick(opened.network.groups[0].name, 0, True),))
    with pytest.raises(PlanError, match="picked by hand, so pruning again gives the same network"):
        next(population(opened.network, plan, opened.dataset, before.split, before.task))


def test_a_plan_that_removes_nothing_has_no_exemplar(digits):
    opened, _, before, _ = digits
    plan = Plan(opened.network.name, "random")
    (member,) = population(opened.network, plan, opened.dataset, before.split, before.task, seeds=[1])
    assert not consensus(before.answers, [member.answers]).exemplars.any()

"""The report of a comparison: the trials' own numbers side by side, paired where their answers are known."""

import math
import re
from dataclasses import replace

import pytest

from analysis.errors import DataError, PlanError
from analysis.history import Label
from analysis.measure.measurement import measure
from analysis.pruning.plan import Plan, make_plan, repick, targets, uniform_plan
from analysis.recovery.recovered import Step
from analysis.report import MOST, Reported, comparison_report
from tests.report.reading import Reader, value
from tests.report.subjects import measured, opened, subject, trial
from tests.report.test_trial_report import EVIL, assert_self_contained


def three(name="digits-cnn"):
    return [trial(name), trial(name, "channel", 0.2), trial(name, "weight", 0.6)]


def read(name="digits-cnn", trials=None):
    return Reader(comparison_report(subject(name), trials or three(name)))


@pytest.mark.parametrize("name", ["digits-cnn", "auto-mpg-mlp", "binary", "values", "tokens", "pair"])
def test_every_kind_of_network_gets_a_page_that_needs_nothing_else(name):
    found = assert_self_contained(comparison_report(subject(name), three(name)))
    assert found.table("Quality")[0] == ["metric", "dense", "A", "B", "C"]


def test_each_column_is_a_trial():
    found, trials = read(), three()
    for row, key in zip(found.table("Quality")[1:], subject("digits-cnn").dense.quality, strict=True):
        for cell, one in zip(row[2:], trials, strict=True):
            assert value(cell) == pytest.approx(one.numbers.quality[key].value, abs=6e-4)
    macs = found.row("Cost", "MACs")
    assert [int(value(cell)) for cell in macs[2:]] == [one.numbers.cost.macs for one in trials]
    for row in found.table("Layers")[1:]:
        before = subject("digits-cnn").dense.cost.layer_nonzero[row[0]]
        for cell, one in zip(row[2:], trials, strict=True):
            assert value(cell) == pytest.approx(one.numbers.cost.layer_nonzero[row[0]] / before, abs=6e-4)


def test_paired_differences_count_the_examples_that_two_trials_answer_differently():
    """Agresti & Min 2005 written out: half an observation more in each cell."""
    found, trials = read(), three()
    right = [one.evaluation.answers == one.evaluation.split.targets for one in trials]
    cells = {
        (1, 0): found.row("Against one another", "Accuracy")[1],
        (2, 0): found.row("Against one another", "Accuracy")[2],
        (2, 1): found.row("Against one another", "C against B", number=1)[1],
    }
    for (after, before), cell in cells.items():
        gained, lost = (int((right[a] & ~right[b]).sum()) for a, b in ((after, before), (before, after)))
        assert value(cell) == pytest.approx((gained - lost) / 300, abs=6e-4)
        middle = (gained - lost) / 302
        half = 1.96 / 302 * math.sqrt(gained + lost + 1 - (gained - lost) ** 2 / 302)
        low, high = re.search(r"([-+][\d.]+) to ([-+][\d.]+) points$", cell).groups()
        assert (float(low), float(high)) == pytest.approx(
            (100 * (middle - half), 100 * (middle + half)), abs=0.06
        )


def test_differences_of_the_plans_are_listed_by_target():
    network = opened("digits-cnn").network
    first = make_plan(network, "l1", "channel", {"conv1": 0.5, "conv2": 0.25})
    second = repick(make_plan(network, "l2", "channel", {"conv1": 0.5}), network, "conv3", 4, True)
    trials = [Reported(plan, measured("digits-cnn", plan)) for plan in (first, second)]
    rows = read(trials=trials).table("Where the plans differ")[1:]
    assert rows == [
        ["the whole plan", "criterion", "L1 magnitude", "L2 magnitude"],
        ["conv2", "channels removed", "25.0%", "0.0%"],
        ["conv3", "channels picked by hand", "–", "removed 4"],
    ]
    assert "The plans are equal." in read(trials=[trials[0]] * 2).text


def test_letters_stand_at_the_ratios_that_plans_remove():
    """Three plans on one line: the places of their letters are those of their ratios."""
    network = opened("digits-cnn").network
    plans = [make_plan(network, "l1", "channel", {"conv1": ratio}) for ratio in (0.1, 0.5, 0.9)]
    page = comparison_report(
        subject("digits-cnn"), [Reported(plan, measured("digits-cnn", plan)) for plan in plans]
    )
    places = {
        letter: float(
            re.search(rf'<text style="[^"]*font-weight: 700[^"]*" x="([\d.]+)"[^>]*>{letter}</text>', page)[1]
        )
        for letter in "ABC"
    }
    assert places["B"] - places["A"] == pytest.approx(places["C"] - places["B"], abs=0.1) and places["A"] > 0
    assert "conv1, channels: A 10%, B 50%, C 90%" in Reader(page).tips


def test_only_costs_that_some_trial_changes_are_drawn():
    weights = [trial("digits-cnn", "weight", ratio) for ratio in (0.3, 0.6)]
    page = comparison_report(subject("digits-cnn"), weights)
    assert 'aria-label="Accuracy against nonzero connections"' in page and "against MACs" not in page
    assert "against MACs" in comparison_report(subject("digits-cnn"), three())
    dense = Reported(Plan("digits-cnn", "l1"), subject("digits-cnn").dense)
    said = "None of these plans changes nonzero connections or MACs."
    assert said in read(trials=[dense, dense]).text and said not in Reader(page).text


def test_plans_at_one_place_share_a_dot_and_a_name():
    one, other = trial("digits-cnn"), trial("digits-cnn", "channel", 0.2)
    found = read(trials=[one, other, other])
    assert {"A", "B, C", "dense"} <= set(found.drawn) and not {"B", "C", "BC"} & set(found.drawn)
    assert any(tip.startswith("B, ") and "; C, " in tip for tip in found.tips)


def test_each_latency_stands_beside_the_dense_one_of_its_moments():
    found, trials = read(), three()
    for place, one in enumerate(trials, 2):
        beside, share = (
            found.row("Cost", name)[place]
            for name in ("Dense network, timed beside it", "Latency, % of the dense network's")
        )
        now, dense = one.numbers.latency.median, one.numbers.dense_latency.median
        assert float(beside.split()[0]) == pytest.approx(dense, abs=6e-4)
        assert value(share) == pytest.approx(now / dense, abs=6e-4)
    assert found.row("Cost", "Latency")[1] == "–"  # no dense number of other moments


def test_a_card_says_once_how_a_plan_was_recovered():
    one = trial("digits-cnn")
    plan = replace(one.plan, recovered="a" * 64)
    steps = (Step("recalibration", {}, 0.2), Step("distillation", {"epochs": 3, "epoch": 0}, 1.1))
    named, unnamed = (
        replace(one, plan=plan, steps=steps, label=Label("mine")),
        replace(one, plan=plan, steps=steps),
    )
    text = read(trials=[named, unnamed]).text
    how = "recovered by recalibration (0.2 s), then distillation (1.1 s, changed nothing)"
    assert f"A mine channels by L1 magnitude, {how} B channels by L1 magnitude, {how}" in text
    assert "recovered recovered" not in text


def test_kept_numbers_stand_beside_measured_ones_and_are_not_paired():
    first, second, third = three()
    kept = replace(second, numbers=second.numbers.numbers(), steps=None)
    found = read(trials=[first, kept, third])
    assert found.table("Against one another")[0] == ["metric", "C against A"]
    assert len(found.tables["Against one another"]) == 1
    assert "Not measured again for this report: B." in found.text and "not kept any more" in found.text
    assert found.table("Quality") == read().table("Quality")
    found = read(trials=[kept, first])
    assert "Against one another" not in found.tables


def test_kept_numbers_of_other_layers_and_metrics_are_unknown_there():
    first, second, _ = three()
    kept = second.numbers.numbers()
    cost = replace(kept.cost, layer_nonzero={"old": 5})
    values = {key: value for key, value in kept.quality.items() if key != "accuracy"}
    other = replace(second, numbers=replace(kept, cost=cost, quality=values))
    found = read(trials=[first, other])
    assert [row[3] for row in found.table("Layers")[1:]] == ["unknown"] * 4
    assert found.row("Quality", "Accuracy")[3] == "–"
    assert {tip[:3] for tip in found.tips if "connections" in tip or "MACs" in tip} == {"A, "}
    assert "The kept numbers of these plans lack" in read(trials=[other, other]).text


def test_names_from_strangers_are_text_and_nothing_else():
    label = Label(EVIL, EVIL, True, (EVIL,))
    trials = [replace(one, label=label) for one in three()]
    page = comparison_report(replace(subject("digits-cnn"), title=EVIL), trials)
    assert "<script" not in page
    assert_self_contained(page)


def test_what_cannot_be_compared_is_refused():
    about, (first, second, _) = subject("digits-cnn"), three()
    for trials in ([first], [first] * (MOST + 1)):
        with pytest.raises(PlanError, match="2 to 26 plans"):
            comparison_report(about, trials)
    with pytest.raises(PlanError, match="'other'"):
        comparison_report(about, [first, replace(second, plan=Plan("other", "l1"))])
    rows = opened("digits-cnn").dataset.evaluation.sample(299)
    other = measure(first.numbers.network, rows, about.dense.evaluation.task)
    with pytest.raises(DataError, match="different examples"):
        comparison_report(about, [first, replace(second, numbers=other)])


def test_twenty_six_plans_fit():
    network = opened("images").network
    plans = [
        uniform_plan(network, "l1", "weight", i / 40)
        if i
        else make_plan(network, "l1", "channel", {targets(network, "channel")[0]: 0.5})
        for i in range(MOST)
    ]
    found = read("images", [Reported(plan, measured("images", plan)) for plan in plans])
    assert found.table("Quality")[0][-1] == "Z" and found.row("Cost", "MACs")[-1]

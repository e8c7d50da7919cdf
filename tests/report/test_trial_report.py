"""The report of a trial: each number is that of the measurement, and the page needs nothing but itself."""

import math
import re
import threading
from dataclasses import replace

import matplotlib as mpl
import pytest
import torch

from analysis.errors import DataError, PlanError
from analysis.history import Label, Summary
from analysis.look import DARK, LIGHT
from analysis.measure.measurement import measure
from analysis.measure.quality import Interval
from analysis.pruning.plan import Plan, repick, uniform_plan
from analysis.pruning.plan_json import from_json
from analysis.recovery.recovered import Step
from analysis.report import Reported, Subject, trial_report
from analysis.report.cells import change_cell
from analysis.tasks import ACCURACY
from tests.report.reading import Reader, value
from tests.report.subjects import deep, measured, opened, subject, trial

KINDS = ("digits-cnn", "auto-mpg-mlp", "binary", "values", "tokens", "pair", "images")
EVIL = "<script>alert(1)</script>\"'&{{7*7}}$x^2$\x00\n"
HEADINGS = ("Quality", "Cost", "Layers", "What was lost", "The plan", "Conditions")


def read(name, **changed):
    one = replace(trial(name), **changed)
    return Reader(trial_report(subject(name), one))


def assert_self_contained(page):
    found = Reader(page)
    assert "script" not in {tag for tag, _ in found.elements}
    for tag, attributes in found.elements:
        assert not {"src", "srcset", "action", "xlink:href", "background"} & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("href", "#").startswith("#")
        assert tag not in ("link", "iframe", "object", "embed", "img", "image", "base")
    assert not re.search(r"https?:|url\(|@import|<!ENTITY", page)
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"][1:] for _, attributes in found.elements if "href" in attributes}
    assert links <= set(ids)
    return found


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_network_gets_a_page_that_needs_nothing_else(name):
    page = trial_report(subject(name), trial(name))
    found = assert_self_contained(page)
    assert all(any(heading == said for said in found.said) for heading in HEADINGS)
    assert "None" not in found.text and "nan" not in found.text.split()


@pytest.mark.parametrize("name", ["digits-cnn", "auto-mpg-mlp", "binary"])
def test_the_quality_table_holds_every_metric_of_both_networks(name):
    dense, numbers = subject(name).dense, trial(name).numbers
    found = read(name).table("Quality")
    assert found[0] == ["metric", "dense", "pruned", "change"]
    assert len(found) == 1 + len(dense.quality)
    for row, (key, before) in zip(found[1:], dense.quality.items(), strict=True):
        metric = dense.evaluation.task.by_key[key]
        assert row[0] == metric.label
        within = 0.0006 if metric.percent else max(0.0006, 0.006 * abs(before.value))
        assert value(row[1]) == pytest.approx(before.value, abs=within)
        assert value(row[2]) == pytest.approx(numbers.quality[key].value, abs=within)
        assert value(row[3]) == pytest.approx(numbers.change[key].value, abs=within)
        low, high = (value(part + ("%" if "%" in row[1] else "")) for part in bounds(row[1]))
        assert low == pytest.approx(before.low, abs=within) and high == pytest.approx(before.high, abs=within)


def bounds(cell):
    """The two ends of the interval that a cell ends with."""
    return re.search(r" ([-\d.,]+) to ([-\d.,]+)%?$", cell).groups()


def test_the_cost_table_holds_the_counts_themselves():
    dense, now, found = subject("digits-cnn").dense, trial("digits-cnn").numbers, read("digits-cnn")
    expected = {
        "Parameters": (dense.cost.parameters, now.cost.parameters),
        "Nonzero connections": (dense.cost.nonzero_connections, now.cost.nonzero_connections),
        "MACs": (dense.cost.macs, now.cost.macs),
        "Bytes as saved": (dense.size.saved, now.size.saved),
        "Bytes, best lossless": (dense.size.best, now.size.best),
    }
    for name, counts in expected.items():
        row = found.row("Cost", name)
        assert tuple(int(value(cell)) for cell in row[1:]) == counts
        assert row[2].split()[1] == f"{100 * (counts[1] / counts[0] - 1):+.0f}%"
    assert [row[0] for row in found.table("Cost")].count("Latency") == 1 and "timed beside" not in found.text
    for cell, latency in zip(
        found.row("Cost", "Latency")[1:], (now.dense_latency, now.latency), strict=True
    ):  # the dense network's of the same moments, not of others
        timed = cell.split()
        assert [float(timed[i]) for i in (0, 2, 4)] == pytest.approx(
            [latency.median, latency.low, latency.high], abs=6e-4
        )


@pytest.mark.parametrize(("faster", "said"), [(0.0001, "no difference"), (0.012, "-0.012 ms")])
def test_a_latency_that_is_shown_as_equal_has_no_difference(faster, said):
    numbers = trial("digits-cnn").numbers
    dense = replace(numbers.dense_latency, median=0.5, low=0.5, high=0.5)
    now = replace(dense, median=0.5 - faster, low=0.5 - faster, high=0.5 - faster)
    page = trial_report(
        subject("digits-cnn"),
        replace(trial("digits-cnn"), numbers=replace(numbers, latency=now, dense_latency=dense)),
    )
    look = "" if said == "no difference" else "better"
    assert f'<span class="change {look}">{said}</span>' in page and "-0.00 ms" not in page


def test_a_change_that_is_shown_as_zero_has_no_sign():
    for change in (-0.0001, 0.0001):
        assert change_cell(Interval(change, -0.1, 0.1), ACCURACY).text == "0.0 points"
    assert change_cell(Interval(-0.001, -0.1, 0.1), ACCURACY).text == "-0.1 points"


def test_the_layer_table_adds_up_to_the_whole_network():
    dense, now = subject("digits-cnn").dense, trial("digits-cnn").numbers
    rows = read("digits-cnn").table("Layers")[1:]
    assert [row[0] for row in rows] == [layer.name for layer in dense.network.layers]
    sums = [sum(int(row[i].replace(",", "")) for row in rows) for i in (1, 2, 4, 5)]
    assert sums == [
        dense.cost.nonzero_connections,
        now.cost.nonzero_connections,
        dense.cost.macs,
        now.cost.macs,
    ]
    for row in rows:
        layer = now.network.layer(row[0])
        assert int(row[2].replace(",", "")) == math.prod(layer.shape)  # channels are cut out: no zero is left


def test_classes_and_lost_examples_are_counted_by_hand():
    before, after = subject("digits-cnn").dense.evaluation, trial("digits-cnn").evaluation
    found, targets = read("digits-cnn"), before.split.targets
    was, now = before.answers == targets, after.answers == targets
    rows = {row[0]: row for row in found.table("What was lost")[1:]}
    names = subject("digits-cnn").dataset.class_names
    assert set(rows) == set(names)
    for label, name in enumerate(names):
        mine = targets == label
        assert int(rows[name][1]) == int(mine.sum())
        assert int(rows[name][5]) == int((was & ~now & mine).sum())
        assert int(rows[name][6]) == int((~was & now & mine).sum())
        assert value(rows[name][3]) == pytest.approx(float(now[mine].double().mean()), abs=6e-4)
    changes = [value(row[4]) for row in found.table("What was lost")[1:]]
    assert changes == sorted(changes)
    assert f"{int((was & ~now).sum())} were right before and are wrong now" in found.text


def with_answers(answers):
    """The digits report of a network with these answers."""
    numbers = trial("digits-cnn").numbers
    return read(
        "digits-cnn", numbers=replace(numbers, evaluation=replace(numbers.evaluation, answers=answers))
    )


def with_lost(count):
    """The digits report of a network that gets so many more examples wrong than the dense one."""
    before = subject("digits-cnn").dense.evaluation
    answers, right = before.answers.clone(), (before.answers == before.split.targets).nonzero()[:count, 0]
    answers[right] = (answers[right] + 1) % 10
    return with_answers(answers)


def test_one_example_is_not_told_as_many():
    one = with_lost(1).text
    assert "Of 300 examples 1 was right before and is wrong now, 0 the other way" in one
    assert "1 answer changed in all" in one
    assert "2 were right before and are wrong now" in with_lost(2).text
    assert "2 answers changed in all" in with_lost(2).text


def test_the_axis_of_the_classes_fits_what_is_drawn_and_says_where_it_does_not_begin():
    said = "accuracy (%); the axis does not begin at 0"
    near, far = with_lost(1), read("digits-cnn")  # one falls by 3 points, the other to 0
    assert said in near.drawn and said not in far.drawn and "accuracy (%)" in far.drawn
    classes = near.drawn.index(said)
    ticks = [float(text) for text in near.drawn[:classes] if re.fullmatch(r"[\d.]+", text)]
    assert 100 in ticks and not any(20 < tick < 80 for tick in ticks[-8:])


def test_of_a_network_that_predicts_values_the_errors_are_counted():
    before, after = subject("values").dense.evaluation, trial("values").evaluation
    targets = before.split.targets
    grew = (after.answers - targets).abs() > (before.answers - targets).abs()
    found = read("values")
    assert f"grew on {int(grew.sum())} of 60 examples" in found.text
    assert "miles on average" in found.text and "class" not in found.table("Quality")[0]


def test_bars_are_as_long_as_what_is_left():
    page = trial_report(subject("digits-cnn"), trial("digits-cnn"))
    dense, now = subject("digits-cnn").dense, trial("digits-cnn").numbers
    for layer, before in dense.cost.layer_nonzero.items():
        tip = f'<title>{layer}: .*? connections kept.*?</title><path d="(.*?)"'
        whole, left = (extent(path) for path in re.findall(tip, page))
        assert left / whole == pytest.approx(now.cost.layer_nonzero[layer] / before, abs=1e-3)


def extent(path):
    """How wide an SVG path is."""
    places = [float(x) for x in re.findall(r"[ML] ([\d.]+) ", path)]
    return max(places) - min(places)


def test_a_hundred_layers_are_all_drawn_in_figures_that_fit_a_page():
    found = deep(100)
    dense = measure(found.network, found.dataset.evaluation, found.dataset.task)
    about = Subject("deep", found.dataset, dense, 0.0)
    page = trial_report(about, Reported(uniform_plan(found.network, "l1", "weight", 0.5), dense))
    drawn = Reader(page).drawn
    assert all(drawn.count(layer.name) == 2 for layer in found.network.layers)  # connections and MACs
    heights = [float(h) for h in re.findall(r'<svg viewBox="0 0 [\d.]+ ([\d.]+)"', page)]
    assert len(heights) >= 6 and max(heights) < 900


def test_names_from_strangers_are_text_and_nothing_else():
    about, one = subject("digits-cnn"), trial("digits-cnn")

    def renamed(numbers):
        cost = numbers.cost
        parts = {
            key: {EVIL + name: count for name, count in getattr(cost, key).items()}
            for key in ("layer_macs", "layer_nonzero")
        }
        return replace(numbers, cost=replace(cost, **parts))

    data = replace(
        about.dataset,
        name=EVIL,
        class_names=tuple(EVIL + n for n in about.dataset.class_names),
        normalisation=EVIL,
    )
    plan = replace(one.plan, recovered="a" * 64)
    steps = (Step(EVIL, {EVIL: EVIL}, 1.0),)
    label = Label(EVIL, EVIL, True, (EVIL,))
    page = trial_report(
        replace(about, title=EVIL, dataset=data, dense=renamed(about.dense), versions={EVIL: EVIL}),
        Reported(plan, renamed(one.numbers), steps, label),
    )
    assert "script" not in {tag for tag, _ in Reader(page).elements}
    assert "<script" not in page and "{{7*7}}" in page
    plain = trial_report(about, replace(one, plan=plan, steps=steps, label=label))
    assert_self_contained(plain)


def test_what_hides_in_a_figure_stays_text():
    about = subject("digits-cnn")
    data = replace(about.dataset, class_names=tuple(f'x" onload="a({i})' for i in range(10)))
    found = assert_self_contained(trial_report(replace(about, dataset=data), trial("digits-cnn")))
    assert 'x" onload="a(3)' in found.drawn


def test_a_collapsed_network_is_called_so():
    about, one = subject("digits-cnn"), trial("digits-cnn")
    evaluation = replace(one.evaluation, answers=torch.full_like(one.evaluation.answers, 3))
    found = read("digits-cnn", numbers=replace(one.numbers, evaluation=evaluation))
    assert f"answers {about.dataset.class_names[3]} to every example: it has collapsed" in found.text
    assert "collapsed" not in read("digits-cnn").text


def test_the_dense_network_is_shown_alone():
    about = subject("images")
    found = Reader(trial_report(about, Reported(Plan("images", "l1"), about.dense)))
    assert found.table("Quality")[0] == ["metric", "dense"]
    assert found.table("Cost")[0] == ["cost", "dense"]
    assert set(found.tables) == {"Quality", "Cost"} and "nothing is removed" in found.text


def test_kept_numbers_are_shown_without_what_only_answers_tell():
    found = read("digits-cnn", numbers=trial("digits-cnn").numbers.numbers())
    assert "not measured again" in found.text and "What was lost" not in found.tables
    assert found.table("Quality") == read("digits-cnn").table("Quality")


def test_kept_numbers_of_other_layers_and_metrics_are_unknown_there():
    """As a version kept them that read the same file into other layers, and had other metrics."""
    kept = trial("digits-cnn").numbers.numbers()
    nonzero, macs = (
        {f"old.{name}" if name == "conv2" else name: value for name, value in counts.items()}
        for counts in (kept.cost.layer_nonzero, kept.cost.layer_macs)
    )
    cost = replace(kept.cost, layer_nonzero=nonzero, layer_macs=macs)
    values, changes = (
        {key: value for key, value in found.items() if key != "loss"} for found in (kept.quality, kept.change)
    )
    found, whole = (
        read("digits-cnn", numbers=n)
        for n in (replace(kept, cost=cost, quality=values, change=changes), kept)
    )
    row = found.row("Layers", "conv2")
    assert [row[i] for i in (2, 3, 5, 6)] == ["unknown"] * 4
    assert "1 of these layers is unknown" in found.text and "is unknown" not in whole.text
    assert found.row("Layers", "conv1") == whole.row("Layers", "conv1")
    assert (found.drawn.count("conv1"), found.drawn.count("conv2")) == (2, 0)
    assert found.row("Quality", "Loss")[2:] == ["–", "–"]
    renamed = {"old": 1}
    none = read(
        "digits-cnn", numbers=replace(kept, cost=replace(cost, layer_nonzero=renamed, layer_macs=renamed))
    )
    assert "conv1" not in none.drawn and none.row("Layers", "conv1")[2] == "unknown"


def test_numbers_that_were_not_measured_again_may_be_of_other_versions():
    said = "What was not measured again may be of other versions."
    assert said in read("digits-cnn", numbers=trial("digits-cnn").numbers.numbers()).text
    assert said not in read("digits-cnn").text


def test_recovery_is_told_step_by_step():
    plan = replace(trial("digits-cnn").plan, recovered="a" * 64)
    steps = (Step("recalibration", {}, 0.25), Step("fine-tuning", {"learning_rate": 0.01, "epochs": 3}, 12.0))
    rows = read("digits-cnn", plan=plan, steps=steps).table("Recovery")
    assert rows[1:] == [
        ["1", "recalibration", "–", "0.2\N{NO-BREAK SPACE}s"],
        ["2", "fine-tuning", "learning rate 0.01, epochs 3", "12.0\N{NO-BREAK SPACE}s"],
    ]
    assert "not kept any more" in read("digits-cnn", plan=plan, steps=None).text
    assert "Recovery" not in read("digits-cnn").tables


def test_the_plan_stands_there_by_target_and_as_a_file():
    network = opened("digits-cnn").network
    plan = uniform_plan(network, "l1", "channel", 0.4)
    plan = repick(repick(plan, network, "conv1", 5, True), network, "conv1", 7, False)
    plan = replace(plan, cuts=(*plan.cuts, *uniform_plan(network, "l1", "weight", 0.25).cuts))
    found = Reader(trial_report(subject("digits-cnn"), Reported(plan, measured("digits-cnn", plan))))
    rows = found.table("The plan")[1:]
    assert [(row[0], row[1], row[2]) for row in rows] == [
        *((name, "channels", "40.0%") for name in ("conv1", "conv2", "conv3")),
        *((name, "weights", "25.0%") for name in ("conv1", "conv2", "conv3", "head")),
    ]
    assert rows[0][3] == "removed 5; kept 7" and rows[1][3] == "–"
    text = next(text for text in found.said if text.startswith("{"))
    assert from_json(text) == plan


def test_the_head_and_the_lineage_name_the_trials():
    headline = Interval(0.9, 0.8, 0.95)
    first = Summary(
        1,
        "k",
        "",
        300,
        0.0,
        "l1",
        "",
        False,
        headline,
        None,
        10,
        8,
        1000,
        500,
        400,
        1.0,
        1.0,
        (8,),
        Label("start"),
    )
    last = replace(
        first, id=2, parent="k", measured_at=86400.0, granularity="channel", is_recovered=True,
        change=Interval(-0.05, -0.08, -0.02), macs=123_456, label=Label(),
    )  # fmt: skip
    one = replace(trial("digits-cnn"), label=Label("The small one", "ship it", True, ("edge",)))
    found = Reader(trial_report(subject("digits-cnn"), one, [first, last]))
    assert "The digits-cnn: The small one" in found.said and "ship it" in found.said and "edge" in found.said
    rows = found.table("How it came about")[1:]
    assert rows[0][0].startswith("start") and rows[0][1] == "1970-01-01 00:00 UTC" and rows[0][3] == "–"
    assert rows[1][0] == "channel cuts by L1 magnitude, recovered" and rows[1][3].startswith("-5.0 points")
    assert rows[1][5] == "123,456"
    picked = replace(last, criterion="")
    found = Reader(trial_report(subject("digits-cnn"), one, [first, picked]))
    assert found.table("How it came about")[2][0] == "channels picked by hand, recovered"


def test_the_conditions_say_what_on_and_when():
    text = read("digits-cnn").text
    assert subject("digits-cnn").dense.evaluation.split.origin in text
    assert "2025-11-26 01:11 UTC" in text and "torch 1" in text and "batch 1" in text
    assert "computed on" not in text  # L1 magnitude looks at no example
    plan = uniform_plan(opened("digits-cnn").network, "taylor", "channel", 0.4)
    found = Reader(trial_report(subject("digits-cnn"), Reported(plan, measured("digits-cnn", plan))))
    assert f"computed on {opened('digits-cnn').dataset.calibration.origin}" in found.text


def test_both_schemes_have_the_colours_of_the_app():
    page = trial_report(subject("images"), trial("images"))
    light, dark = page.split("@media (prefers-color-scheme: dark)")[:2]
    for name in ("kept", "lost", "removed", "text", "surface"):
        assert f"--{name}: {getattr(LIGHT, name)};" in light
        assert f"--{name}: {getattr(DARK, name)};" in dark
    assert not re.search(r"(fill|stroke): #", page)  # figures follow the scheme


def test_the_same_report_is_the_same_text_from_any_thread_and_changes_no_setting():
    before = dict(mpl.rcParams)
    expected = trial_report(subject("digits-cnn"), trial("digits-cnn"))
    found = []
    threads = [
        threading.Thread(
            target=lambda: found.append(trial_report(subject("digits-cnn"), trial("digits-cnn")))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4
    assert dict(mpl.rcParams) == before


def test_what_does_not_belong_together_is_refused():
    about, one = subject("digits-cnn"), trial("digits-cnn")
    with pytest.raises(PlanError, match=r"about digits-cnn.*'other'"):
        trial_report(about, replace(one, plan=Plan("other", "l1")))
    rows = opened("digits-cnn").dataset.evaluation.sample(299)
    with pytest.raises(DataError, match="different examples"):
        trial_report(replace(about, dense=measure(about.dense.network, rows, about.dataset.task)), one)

"""The model card says what was measured, in tables that hold whatever a name is."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import replace
from datetime import date

import pytest
import torch

from analysis.export import FORMATS, bundle, checked, notes
from analysis.export.card import model_card
from analysis.measure.latency import Latency
from analysis.measure.quality import Interval
from analysis.pruning.plan import Cut, Pick, Plan
from analysis.pruning.plan_json import from_json
from analysis.recovery.augmentation import Augmentation
from analysis.recovery.distil import Distillation
from analysis.recovery.recipe import Recipe
from analysis.recovery.recovered import Step, recovered_from
from analysis.tasks import BINARY, CLASSIFICATION, REGRESSION
from analysis.units.fine_tune import parameters
from tests.export.shipments import dataset_of, plan_of, shipped
from tests.networks import Mlp, load, randomise, split

DAY = date(2031, 5, 6)


def shipment(plan=None, *, task=CLASSIFICATION, outputs=3, name="tiny"):
    network = load(randomise(Mlp(outputs=outputs)), (5,), name)
    data = dataset_of(split((5,), outputs if task is CLASSIFICATION else 2, 20, task=task), task)
    return shipped(network, data, plan or plan_of(network, "channel"), measured=True)


def tables(card: str) -> list[list[list[str]]]:
    """The cells of each table, by Markdown's rules: a backslash takes a bar's meaning away."""
    found: list[list[list[str]]] = [[]]
    for line in card.splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif found[-1]:
            found.append([])
    return [table for table in found if table]


def test_it_says_what_was_removed_and_what_was_measured():
    out = shipment(Plan("tiny", "l1", (Cut("fc1", "channel", 0.43), Cut("fc2", "weight", 0.5))))
    exports = [checked(FORMATS[kind], out) for kind in ("pt2", "safetensors")]
    card = model_card(out, exports, DAY)
    removed, metrics, costs, files = tables(card)
    assert removed[2:] == [
        ["fc1", "channels", "43.0%", "3 of 7"],
        ["fc2", "single weights", "50.0%", "12 of 42"],  # 24 are left by the channels
    ]
    with torch.no_grad():
        answers = out.pruned.module(out.split.inputs).argmax(1)
    accuracy = float((answers == out.split.targets).double().mean())
    assert metrics[2][0] == "Accuracy" and metrics[2][2].startswith(f"{accuracy:.1%} (")
    assert re.search(r"[+-]\d+\.\d points \([+-]", metrics[2][3])
    assert len(metrics) - 2 == len(out.numbers.quality)
    # 5-7-6-3, then 5-4-6-3 of which 12 weights are gone
    assert costs[2] == ["parameters", "111", str(5 * 4 + 4 + 4 * 6 + 6 + 6 * 3 + 3)]
    assert costs[3] == ["nonzero connections", "95", str(5 * 4 + 4 * 6 - 12 + 6 * 3)]
    assert [row[0] for row in files[2:]] == ["PyTorch (.pt2)", "Weights and source"]
    assert all(row[4] == f"{accuracy:.1%}" and row[5] == "20" for row in files[2:])
    allowed = 1e-5 * max(1.0, float(out.expected.abs().max()))
    assert files[0][2:4] == ["largest difference", "allowed"] and "Differences are absolute" in card
    assert all(float(row[3]) == pytest.approx(allowed, rel=0.05) and row[2] == "0" for row in files[2:])
    latency = out.numbers.latency
    assert (
        f"a batch of {latency.batch}, on 1 thread: {latency.runs} runs after warm-up, both networks in turn"
        in card
    )
    assert card.count("unrounded values") == 1
    assert "2031-05-06" in card and torch.__version__ in card and "20 examples: noise" in card


@pytest.mark.parametrize("name", ["a | b", "x\n| y |", "`<b>`", "[z](http://z)", "# t", "back\\slash"])
def test_a_name_from_a_file_breaks_no_table_and_no_line(name):
    out = shipment(name=name)
    out = replace(out, dataset=replace(out.dataset, name=name), split=replace(out.split, origin=name))
    card = model_card(out, [], DAY)
    for table in tables(card):
        assert len({len(row) for row in table}) == 1
    assert len(re.findall(r"^#", card, re.MULTILINE)) == len(
        re.findall(r"^#", model_card(shipment(), [], DAY), re.MULTILINE)
    )
    assert "<b>" not in card.replace("\\<b\\>", "") and not re.search(r"(?<!\\)\]\(", card)


@pytest.mark.parametrize("sign", list("\\`*_{}[]()<>|#!$~:&"))
def test_a_sign_of_a_name_is_that_sign_and_no_markup(sign):
    first = model_card(shipment(name=f"one{sign}two"), [], DAY).splitlines()[0]
    assert first == f"# one\\{sign}two, pruned"


def test_a_dense_network_has_nothing_removed_and_no_second_column():
    out = shipment(Plan("tiny", "l1"))
    card = model_card(out, [], DAY)
    assert "as it was loaded; nothing was removed. It holds 111 parameters." in card
    assert all(
        word not in card
        for word in ("What was removed", "pruned", "before", "unrounded", "in turn", "flattered")
    )
    metrics, costs = tables(card)
    assert metrics[0] == ["metric (95% interval)", "measured"] and costs[0] == ["cost", "measured"]
    assert len(metrics) - 2 == len(out.numbers.quality) and costs[2] == ["parameters", "111"]


@pytest.mark.parametrize(
    ("cuts", "words"),
    [
        (
            (Cut("fc1", "channel", 0.43),),
            "Whole channels were removed, so that its layers are smaller. It holds 75 of 111 parameters.",
        ),
        (
            (Cut("fc2", "weight", 0.5),),
            "Single weights were set to zero; its layers keep their sizes. It holds all 111 parameters; 74 of its 95 "
            "connections are not zero.",
        ),
        (
            (Cut("fc1", "channel", 0.43), Cut("fc2", "weight", 0.5)),
            "Whole channels were removed, so that its layers are smaller, and single weights of what is left were set to "
            "zero. It holds 75 of 111 parameters; 50 of its 62 connections are not zero.",
        ),
        (
            (Cut("fc1", "channel", 0.01),),
            "The shares asked for were too small to remove anything. It holds all 111 parameters.",
        ),
    ],
)  # 5-7-6-3, then 5-4-6-3
def test_what_became_of_it_is_said_for_every_granularity(cuts, words):
    assert f"with 3 layers, pruned. {words}\n" in model_card(shipment(Plan("tiny", "l1", cuts)), [], DAY)


def steps_of(*steps: Step) -> list[str]:
    out = shipment()
    recovered = recovered_from(out.pruned, out.selection, steps)
    card = model_card(replace(out, recovered=recovered, plan=replace(out.plan, recovered="b" * 64)), [], DAY)
    return [line for line in card.splitlines() if re.match(r"\d+\. ", line)]


def test_training_that_changed_nothing_is_said():
    settings = {"epochs": 3, "learning_rate": 0.005000000000000001, "seed": 0}
    nothing, kept = steps_of(
        Step("distillation", {**settings, "epoch": 0}, 1.0),
        Step("distillation", {**settings, "epoch": 2}, 1.0),
    )
    said = "distillation, 1.0 s: epochs 3, learning rate 0.005, seed 0."
    assert nothing == f"1. {said} No epoch was better than the start, so training changed nothing."
    assert kept == f"2. {said} The weights of epoch 2 are kept."


def test_settings_that_are_off_are_left_out_and_nested_ones_are_read():
    recipe = Recipe(4, learning_rate=0.1, l2=1e-4, augmentation=Augmentation(flip=True))
    told = {"from": "c" * 64, "epoch": 4, **parameters(recipe, Distillation(hints=("fc_1", "fc2")))}
    (line,) = steps_of(Step("distillation", told, 1.0))
    assert line == (
        "1. distillation, 1.0 s: epochs 4, learning rate 0.1, examples in a step 64, optimiser SGD, momentum 0.9, seed 0, "
        "learning rate falls by cosine, share of warm-up 0.1, L2 penalty 0.0001, images mirrored, temperature 4, share of "
        "soft answers 0.9, hints fc\\_1 and fc2, hint weight 1. The weights of epoch 4 are kept."
    )


def test_picks_and_recovery_are_told():
    out = shipment(Plan("tiny", "l1", (), (Pick("fc1", 2, True), Pick("fc2", 0, False))))
    recovered = recovered_from(
        out.pruned, out.selection, (Step("recalibration", {}, 0.5), Step("fine-tuning", {"epochs": 3}, 2))
    )
    card = model_card(replace(out, recovered=recovered, plan=replace(out.plan, recovered="b" * 64)), [], DAY)
    removed, by_hand = tables(card)[:2]
    assert by_hand[2:] == [["fc1", "2", "none"], ["fc2", "none", "0"]]
    assert removed[2] == ["fc1", "channels", "by hand", "1 of 7"]
    assert "By the criterion" not in card and "nothing was ranked" in card
    assert "1. recalibration, 0.5 s\n2. fine-tuning, 2.0 s: epochs 3" in card


def test_of_many_picks_the_first_of_each_target_are_named():
    out = shipment(Plan("tiny", "l1", (Cut("fc1", "channel", 0.2),)))
    picks = (
        *(Pick("fc1", channel, True) for channel in range(3000)),
        *(Pick("fc2", channel, False) for channel in range(20)),
    )
    card = model_card(replace(out, plan=replace(out.plan, picks=picks)), [], DAY)
    first = ", ".join(map(str, range(20)))
    assert tables(card)[1][2:] == [["fc1", f"{first} and 2,980 more", "none"], ["fc2", "none", first]]
    assert "By the criterion" in card


@pytest.mark.parametrize(("task", "outputs", "headline"), [(BINARY, 1, "Accuracy"), (REGRESSION, 1, "R²")])
def test_every_task_has_its_metrics(task, outputs, headline):
    out = shipment(task=task, outputs=outputs)
    card = model_card(out, [checked(FORMATS["safetensors"], out)], DAY)
    assert tables(card)[1][2][0] == headline and f"A network for {task.name}" in card
    assert f"{headline} of the reloaded file" in tables(card)[-1][0]


@pytest.mark.parametrize("task", [CLASSIFICATION, REGRESSION])
def test_figures_of_a_line_have_the_same_decimals(task):
    out = shipment(task=task, outputs=3 if task is CLASSIFICATION else 1)
    wide = Interval(9.2, 8.236, 20.9)
    quality = {
        key: wide if not task.by_key[key].percent else value for key, value in out.numbers.quality.items()
    }
    times = Latency(0.2123, 0.21, 0.2214, 1, 1, 5), Latency(12.3, 8.0, 20.9, 1, 1, 5)
    numbers = replace(out.numbers, quality=quality, latency=times[0], dense_latency=times[1])
    metrics, costs = tables(model_card(replace(out, numbers=numbers), [], DAY))[1:3]
    for row in (*metrics[2:], costs[-1]):
        found = [re.findall(r"\d+(?:\.(\d+))?(?: ms|%|)?(?= |\)|$)", cell) for cell in row[1:]]
        assert len({len(decimals) for cell in found for decimals in cell}) == 1, row
    assert costs[-1][1:] == ["12.300 ms (8.000 to 20.900)", "0.212 ms (0.210 to 0.221)"]
    assert any("9.200 (8.236 to 20.900)" in row for row in metrics)


def test_notes_hold_the_plan_and_the_card():
    out = shipment()
    found = notes(out, [], DAY)
    assert from_json(found["plan.json"]) == out.plan
    assert found["MODEL_CARD.md"].decode() == model_card(out, [], DAY)
    assert json.loads(found["plan.json"])["network"] == "tiny"


def test_a_zip_holds_the_files_and_is_the_same_each_time():
    files = {"a.txt": b"one" * 1000, "folder/b.bin": bytes(range(256))}
    archive = bundle(files)
    assert archive == bundle(files) and len(archive) < 3000
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        assert {name: opened.read(name) for name in opened.namelist()} == files
        for entry in opened.infolist():  # unpacked as files that everybody may read
            assert entry.external_attr >> 16 == 0o100644 and entry.create_system == 3
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)

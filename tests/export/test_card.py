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
from analysis.pruning.plan import Cut, Pick, Plan
from analysis.pruning.plan_json import from_json
from analysis.recovery.recovered import Step, recovered_from
from analysis.tasks import BINARY, CLASSIFICATION, REGRESSION
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
    assert all(row[3] == f"{accuracy:.1%}" and row[4] == "20" for row in files[2:])
    latency = out.numbers.latency
    assert f"{latency.batch} at once on 1 thread, {latency.runs} runs" in card
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


def test_a_dense_network_has_nothing_removed():
    card = model_card(shipment(Plan("tiny", "l1")), [], DAY)
    assert (
        "nothing was removed" in card
        and "What was removed" not in card
        and "pruned" not in card.splitlines()[0]
    )
    assert tables(card)[0][2][3] == "none"


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

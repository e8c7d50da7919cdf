"""The Export page: what is made is checked, then handed out, for any kind of network and data."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

import sample_models
from analysis.errors import ExportError
from analysis.export.registry import FORMATS
from analysis.measure.quality import evaluate
from analysis.pruning.plan import uniform_plan
from analysis.pruning.plan_json import from_json
from analysis.pruning.prune import prune
from analysis.sources import Opened
from analysis.units import Case, find_unit
from tests.pages.conftest import Bring, Open, follow, metric, texts
from tests.pages.stand_ins import single, tokens
from tests.pages.test_recovered_plan import open_with, recover
from ui import services, studies, workspace

pytestmark = pytest.mark.usefixtures("own_jobs")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies run to their end when they are begun, in this process."""

    def start(study: studies.Study) -> None:
        opened = workspace.opened()
        assert study.plan is not None
        split = opened.dataset.evaluation.sample(workspace.image_count())
        case = Case(opened.network, opened.dataset, split, study.plan)
        found = list(find_unit(study.kind)(case, study.parameters, studies.parts(study), lambda share: None))
        services.store().add_findings(study.about, [*found, {studies._END: len(found)}])

    monkeypatch.setattr(studies, "start", start)


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], bytes]]:
    """The downloads that the page offers, by file name, and what each would give."""
    found: dict[str, Callable[[], bytes]] = {}
    original = st.download_button

    def button(label, data, file_name, *arguments, **options):
        found[file_name] = data
        return original(label, data, file_name, *arguments, **options)

    monkeypatch.setattr(st, "download_button", button)
    return found


def only(app: AppTest, *formats: str) -> AppTest:
    """Tick these formats alone."""
    for entry in FORMATS.values():
        box = next(c for c in app.main.checkbox if c.label == entry.label)
        (box.check if entry.name in formats else box.uncheck)()
    app.run()
    assert not app.exception and not app.error
    return app


def press(app: AppTest, label: str) -> AppTest:
    next(b for b in app.main.button if b.label.startswith(label)).click().run()
    app.run()
    assert not app.exception and not app.error
    return app


def pruned(open_page: Open, network: str) -> AppTest:
    app = press(open_page("compare", network), "Prune 30%")
    app.switch_page("pages/export.py").run()
    assert not app.exception and not app.error
    return app


def test_nothing_is_handed_out_before_it_was_checked(open_page: Open, offered) -> None:
    app = open_page("export", "digits-cnn")
    assert not offered
    assert all(entry.sentence in texts(app) for entry in FORMATS.values())
    only(app)
    assert "Tick at least one format" in app.info[0].value and not offered


def test_what_is_handed_out_is_the_network_on_the_screen(open_page: Open, at_once, offered) -> None:
    app = press(only(pruned(open_page, "digits-cnn"), "pt2", "safetensors"), "Make and check")
    assert set(offered) == {
        "digits-cnn-pruned.pt2",
        "digits-cnn-pruned-safetensors.zip",
        "digits-cnn-pruned.zip",
    }
    opened = sample_models.load("digits-cnn")
    plan = uniform_plan(opened.network, "l1", "channel", 0.3)
    network = prune(opened.network, plan)
    split = opened.dataset.evaluation
    data = offered["digits-cnn-pruned.pt2"]()
    with torch.no_grad():
        found = torch.export.load(io.BytesIO(data)).module()(split.inputs)
        assert torch.allclose(found, network.module(split.inputs), atol=1e-5)
    accuracy = float((found.argmax(1) == split.targets).double().mean())
    assert metric(app, "Accuracy") == f"{accuracy:.1%}"
    assert texts(app).count("as on the screen") == 2
    assert f"({len(data) / 1024:.1f} KiB)" in texts(app).replace("\\", ""), "the size is the file's"
    with zipfile.ZipFile(io.BytesIO(offered["digits-cnn-pruned.zip"]())) as whole:
        assert whole.read("pt2/network.pt2") == data
        assert from_json(whole.read("plan.json")) == plan
        card = whole.read("MODEL_CARD.md").decode()
    with zipfile.ZipFile(io.BytesIO(offered["digits-cnn-pruned-safetensors.zip"]())) as weights:
        assert {f"safetensors/{name}" for name in weights.namelist()} < {*whole.namelist()}
    assert card.strip() in [m.value for m in app.main.markdown], (
        "the card on the screen is the card in the archive"
    )
    assert f"{accuracy:.1%}" in card or f"{100 * accuracy:.1f}" in card


def test_a_worker_makes_it_too(open_page: Open, offered) -> None:
    app = only(pruned(open_page, "auto-mpg-mlp"), "pt2")
    next(b for b in app.main.button if b.label == "Make and check").click().run()
    follow(app)
    assert set(offered) == {"auto-mpg-mlp-pruned.pt2", "auto-mpg-mlp-pruned.zip"}


def test_a_recovered_network_leaves_as_it_is_as_it_was_and_dense(open_page: Open, at_once, offered) -> None:
    plan, network = recover()
    app = only(open_with(open_page, "export", plan), "pt2")
    inputs = sample_models.load("digits-cnn").dataset.evaluation.inputs
    which = next(c for c in app.segmented_control if c.label == "Which network leaves")
    assert which.options == ["Recovered", "As it was pruned", "Dense"]
    assert "fine-tune (about 12 s)" in texts(app)
    opened = sample_models.load("digits-cnn")
    expected = {
        "Recovered": network,
        "As it was pruned": prune(opened.network, plan.as_pruned),
        "Dense": opened.network,
    }
    files = {"Recovered": "recovered", "As it was pruned": "pruned", "Dense": "dense"}
    for way, leaves in expected.items():
        next(c for c in app.segmented_control if c.label == "Which network leaves").set_value(way).run()
        app = press(app, "Make and check")
        with torch.no_grad():
            module = torch.export.load(io.BytesIO(offered[f"digits-cnn-{files[way]}.pt2"]())).module()
            assert torch.allclose(module(inputs), leaves.module(inputs), atol=1e-5), way


def test_a_format_that_cannot_be_made_says_why_beside_the_others(
    open_page: Open, at_once, offered, monkeypatch
) -> None:
    def refuse(shipment):
        raise ExportError("aten::nothing has no counterpart in it. Use .pt2.")

    monkeypatch.setitem(FORMATS, "onnx", replace(FORMATS["onnx"], write=refuse))
    app = press(only(open_page("export", "digits-mlp"), "onnx", "pt2"), "Make and check")
    assert "aten::nothing has no counterpart" in app.warning[0].value.replace("\\", "")
    assert set(offered) == {"digits-mlp-dense.pt2", "digits-mlp-dense.zip"}


def test_files_that_had_to_make_room_are_offered_anew(
    open_page: Open, at_once, offered, tmp_path: Path
) -> None:
    app = press(only(open_page("export", "digits-mlp"), "pt2"), "Make and check")
    assert offered
    shutil.rmtree(tmp_path / "exports")
    offered.clear()
    app = press(app.run(), "Make and check")
    assert torch.export.load(io.BytesIO(offered["digits-mlp-dense.pt2"]()))


@pytest.mark.parametrize("make", [tokens, single], ids=["tokens", "single output"])
def test_other_kinds_of_networks_leave_too(
    open_page: Open, at_once, offered, brought: Bring, make: Callable[[], Opened]
) -> None:
    opened = make()
    name = brought(opened)
    press(only(pruned(open_page, name), "pt2"), "Make and check")
    module = torch.export.load(io.BytesIO(offered[f"{name}-pruned.pt2"]())).module()
    split, network = opened.dataset.evaluation, opened.network
    network = prune(network, uniform_plan(network, "l1", "channel", 0.3))
    with torch.no_grad():
        assert torch.allclose(module(split.inputs), network.module(split.inputs), atol=1e-5)


def test_regression_speaks_of_its_own_metric(open_page: Open, at_once) -> None:
    app = press(only(open_page("export", "auto-mpg-mlp"), "pt2"), "Make and check")
    opened = sample_models.load("auto-mpg-mlp")
    found = evaluate(opened.network, opened.dataset.evaluation, opened.dataset.task)
    spread = ((found.split.targets - found.split.targets.mean()) ** 2).sum()
    r2 = 1 - float(((found.split.targets - found.answers) ** 2).sum() / spread)
    assert "R² reloaded" in texts(app) and f"{r2:.3f}  \n:small[:gray[as on the screen]]" in texts(app)
    assert "accuracy" not in texts(app).lower()


def test_the_prune_page_leads_here(open_page: Open) -> None:
    app = open_page("prune", "digits-mlp")
    assert "pages/export.py" in [link.proto.page for link in app.get("page_link")] or any(
        "export" in str(link.proto) for link in app.get("page_link")
    )

"""A recovered plan in force: every page speaks of the recovered network, and says where it does not."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

import sample_models
from analysis.importance.registry import score
from analysis.measure.quality import evaluate
from analysis.network import Network
from analysis.pruning.plan import Plan, uniform_plan
from analysis.pruning.plan_json import to_json
from analysis.pruning.prune import prune
from analysis.pruning.selection import select
from analysis.recovery.keep import keep_here
from analysis.recovery.recovered import Step, recovered_from
from analysis.store import Store, StoreError
from tests.pages.conftest import console, metric, texts
from ui import services

NAME = "digits-cnn"
RATIO = 0.4
HISTORY = "0123456789abcdef"


def recover() -> tuple[Plan, Network]:
    """A kept recovery of a pruned sample: its head is turned round, so that other answers come out."""
    opened = sample_models.load(NAME)
    plan = uniform_plan(opened.network, "l1", "channel", RATIO)
    scores = score(opened.network, "l1")
    selection = select(opened.network, plan, scores)
    pruned = prune(opened.network, plan, scores)
    module = copy.deepcopy(pruned.module)
    with torch.no_grad():
        module.get_submodule("head").weight.neg_()
    network = replace(pruned, module=module)
    digest = keep_here().put(recovered_from(network, selection, (Step("fine-tune", {}, 12.0),)))
    return replace(plan, recovered=digest), network


def accuracy(network: Network) -> float:
    dataset = sample_models.load(NAME).dataset
    return float(evaluate(network, dataset.evaluation, dataset.task).correct.double().mean())


def open_with(open_page, page: str, plan: Plan) -> AppTest:
    services.store().put_plan(HISTORY, plan)
    return open_page(page, NAME, history=HISTORY)


@pytest.mark.parametrize(
    "page", ["prune", "compare", "forgotten", "layers", "channel", "weights", "importance"]
)
def test_every_page_opens_and_the_sidebar_says_how_it_was_recovered(open_page, page):
    app = open_with(open_page, page, recover()[0])
    assert not app.exception and not app.error
    assert "fine-tune (about 12 s)" in texts(app)


def test_the_numbers_are_those_of_the_recovered_network(open_page):
    plan, network = recover()
    app = open_with(open_page, "compare", plan)
    after = accuracy(network)
    assert metric(app, "Accuracy after") == f"{100 * after:.1f}%"
    app = open_with(open_page, "prune", plan)
    assert console(app)["reading"]["value"] == after and console(app)["reading"]["exact"]


def test_as_it_was_pruned_is_a_click_away(open_page):
    plan, _ = recover()
    app = open_with(open_page, "prune", plan)
    next(b for b in app.button if b.label == "As it was pruned").click().run()
    assert not app.error and "fine-tune" not in texts(app)
    opened = sample_models.load(NAME)
    pruned = prune(opened.network, plan.as_pruned, score(opened.network, "l1"))
    assert metric(app, "Accuracy") == f"{100 * accuracy(pruned):.1f}%"


def test_a_plan_whose_weights_are_gone_comes_back_as_it_was_pruned(open_page, tmp_path: Path):
    plan, _ = recover()
    for file in (tmp_path / "recovered").iterdir():
        file.unlink()
    app = open_with(open_page, "model", plan)
    assert "not kept here" in app.error[0].value
    app.switch_page("pages/prune.py").run()
    assert "Recovered:" not in texts(app) and console(app)["state"]["ratios"]


def test_the_channel_page_says_that_it_looks_at_the_plan_as_pruned(open_page):
    app = open_with(open_page, "channel", recover()[0])
    assert "as it was pruned, with the weights as loaded" in texts(app)


def test_a_plan_recovered_on_another_network_is_taken_as_it_was_pruned(open_page):
    plan = recover()[0]
    app = open_page("prune", NAME, history=HISTORY)
    foreign = replace(plan, network="another-network")
    app.file_uploader[0].set_value(("plan.json", to_json(foreign).encode(), "application/json")).run()
    assert app.session_state["benches"][NAME].plan == plan.as_pruned
    assert "another" in app.error[0].value
    app.run()
    assert not app.error, "it is said once"


def test_what_cannot_be_kept_is_shown_and_said_until_it_can_be(open_page, monkeypatch):
    def full(*given):
        raise StoreError("The history at x cannot be used (disk full).")

    app = open_page("prune", NAME)
    with monkeypatch.context() as broken:
        broken.setattr(Store, "put_plan", full)
        broken.setattr(Store, "add_trial", full)
        app.session_state["benches"][NAME].move(recover()[0].as_pruned)
        app.run()
        app.run()
        assert "disk full" in app.sidebar.warning[0].value and not app.error
        assert metric(app, "Accuracy")
    app.run()
    assert not app.sidebar.warning
    kept = services.store().summaries(app.session_state["history"], NAME)
    assert [trial.is_dense for trial in kept] == [True, False]

"""Reports from the pages: made at the click, of what the page shows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import streamlit as st

from analysis.errors import PrunescopeError
from analysis.history import Label, Trial
from analysis.pruning.plan import uniform_plan
from tests.report.reading import Reader, value
from ui import computed, library, report_button
from ui.bench import dense_plan


def trial(name="digits-mlp", ratio=0.5):
    plan = uniform_plan(library.load(name).network, "l1", "channel", ratio)
    return Trial(plan, computed.measurement(plan, 200).numbers())


def test_the_prune_page_offers_a_report(open_page):
    app = open_page("prune")
    assert any(button.proto.label == "Report (.html)" for button in app.get("download_button"))


def test_a_report_shows_the_numbers_of_the_page():
    one = trial()
    found = Reader(report_button.trial_page(one.plan, 200, label=Label("mine", tags=("edge",))))
    assert value(found.row("Quality", "Accuracy")[2]) == pytest.approx(
        one.measurement.headline.value, abs=6e-4
    )
    assert "digits-mlp: mine" in found.said and "edge" in found.said
    assert computed.evaluation_split("digits-mlp", 200).origin in found.text


def test_the_report_of_the_plan_in_force_knows_its_trial(open_page, monkeypatch):
    made = []
    monkeypatch.setattr(report_button, "_button", lambda make, network, key: made.append(make))
    app = open_page("prune")
    assert not app.exception
    found = Reader(made[-1]())
    assert "nothing is removed" in found.text and len(found.table("How it came about")) == 2


def test_of_weights_that_are_gone_the_kept_numbers_are_shown():
    one = trial()
    gone = replace(one.plan, recovered="0" * 64)
    found = Reader(report_button.trial_page(gone, 200, label=Label(), kept=one.measurement))
    assert "not kept any more" in found.text and "not measured again" in found.text
    with pytest.raises(PrunescopeError, match="not kept here"):
        report_button.trial_page(gone, 200, label=Label())
    both = [(one, Label("first")), (Trial(gone, one.measurement), Label("second"))]
    found = Reader(report_button.comparison_page("digits-mlp", both, 200))
    assert "Not measured again for this report: B." in found.text
    assert found.row("Cost", "MACs")[2] == found.row("Cost", "MACs")[3]


def test_a_report_that_cannot_be_made_is_a_page_that_says_why(monkeypatch):
    given = []
    monkeypatch.setattr(st, "download_button", lambda label, make, *_, **__: given.append(make))

    def fails():
        raise PrunescopeError("The weights of <b>1</b> are gone. Recover again.")

    report_button._button(fails, "digits-mlp", "key")
    found = Reader(given[0]())
    assert "The weights of <b>1</b> are gone. Recover again." in found.said, "as text"
    assert "digits-mlp" in found.text


def test_a_comparison_of_the_dense_network_with_a_trial():
    dense = Trial(dense_plan("digits-mlp"), computed.measurement(dense_plan("digits-mlp"), 200).numbers())
    found = Reader(report_button.comparison_page("digits-mlp", [(dense, Label()), (trial(), Label())], 200))
    assert found.row("Cost", "Parameters")[1] == found.row("Cost", "Parameters")[2].split()[0]

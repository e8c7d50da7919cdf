"""Reports in a browser: nothing is wider than the screen, and what scrolls shows that it does."""

from dataclasses import replace

import pytest

from analysis.history import Label
from analysis.report import comparison_report, trial_report
from tests.report.subjects import subject, trial

pytestmark = pytest.mark.e2e
LONG = Label("n" * 80, "note " * 360, True, ("t" * 40, "u" * 40))
WIDE = """() => ({
  page: document.documentElement.scrollWidth,
  out: [...document.querySelectorAll("body *")].filter(e => !e.parentElement.closest(".wide, pre, svg")
    && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80)),
  cards: [...document.querySelectorAll(".card")].map(e => e.getBoundingClientRect()).map(r => [r.x, r.width, r.height]),
  tables: [...document.querySelectorAll(".wide")].map(e => [e.scrollWidth > e.clientWidth,
    getComputedStyle(e).overflowX, getComputedStyle(e).backgroundAttachment.includes("local")]),
})"""


def looked_at(chromium, html, width):
    page = chromium.new_page(viewport={"width": width, "height": 900})
    page.set_content(html)
    found = page.evaluate(WIDE)
    page.close()
    assert found["page"] <= width and not found["out"]
    return found


def three():
    return [replace(trial("digits-cnn", ratio=ratio), label=LONG) for ratio in (0.2, 0.4, 0.6)]


@pytest.mark.parametrize("width", [1280, 390])
def test_long_names_notes_and_tags_stay_inside(chromium, width):
    looked_at(chromium, comparison_report(subject("digits-cnn"), three()), width)
    looked_at(chromium, trial_report(subject("digits-cnn"), three()[0]), width)


@pytest.mark.parametrize("plans", [2, 3])
def test_cards_share_the_width_of_their_row(chromium, plans):
    cards = looked_at(chromium, comparison_report(subject("digits-cnn"), three()[:plans]), 1280)["cards"]
    assert len(cards) == plans
    assert cards[-1][0] + cards[-1][1] - cards[0][0] > 940  # the page's text is 62 rem wide
    assert max(height for _, _, height in cards) < 1500


def test_a_table_that_is_too_wide_scrolls_in_its_own_box_under_a_shadow(chromium):
    tables = looked_at(chromium, comparison_report(subject("digits-cnn"), three()), 390)["tables"]
    assert tables[0][0]  # the one with every metric
    assert all(overflow == "auto" and shadow for _, overflow, shadow in tables)

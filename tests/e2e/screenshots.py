"""Screenshots of the pages, for the README and for looking: ``python -m tests.e2e.screenshots``.

Without options the README's pictures are made anew. ``--all FOLDER`` opens every page of every sample
in both themes and fails if one of them shows an error or asks for anything outside this machine.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page

import sample_models
from tests.e2e.harness import ROOT, browser, choose_view, is_outside, server, settle, tick

PAGES = (
    "model", "open", "weights", "importance", "prune", "allocate", "recover", "history", "compare", "forgotten", "layers",
    "channel", "export",
)  # fmt: skip
README = (
    ("fashion-resnet", "light", ("model", "importance", "layers-topology")),
    (
        "fashion-lenet",
        "light",
        (
            "weights",
            "prune",
            "allocate",
            "recover-gradually",
            "history",
            "history-compare",
            "compare-over-ratios",
            "channel",
        ),
    ),
    ("fashion-lenet", "dark", ("history-tree", "compare", "forgotten-confidence", "export")),
)
WIDTH, HEIGHT = 1280, 800
_MOST_STUDIES = 2  # of one view


def tour(
    chromium: Browser,
    url: str,
    network: str,
    theme: str,
    folder: Path,
    prefix: str,
    kept: tuple[str, ...] | None,
) -> list[str]:
    """Open every page and view of one network, pruned on the way, and keep the `kept` pictures (None: all).

    A picture is called by its page, and by its view unless that is the first. Returns what went wrong.
    """
    context = chromium.new_context(
        viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="dark" if theme == "dark" else "light"
    )
    page = context.new_page()
    problems: list[str] = []
    page.on(
        "request",
        lambda request: problems.append(f"asked for {request.url}") if is_outside(request.url) else None,
    )
    for name in PAGES:
        if name == "model":
            page.goto(f"{url}/?network={network}")
        else:
            page.get_by_role("link", name=name.capitalize(), exact=True).click()
            page.wait_for_url(f"**/{name}*")
        settle(page)
        if name == "prune":
            _prune_a_little(page)
        elif name == "history":
            _name_a_trial(page)
        for view in _views(page):
            picture = name if view is None else f"{name}-{'-'.join(view.lower().split())}"
            if picture == "history-tree":
                tick(page, 3)  # for the comparison
            if view is not None:
                choose_view(page, view)
            if kept is None or picture in kept:
                _begin(page)
            alerts = page.locator("[data-testid='stException'], [data-testid='stAlertContentError']").all()
            problems += [f"{network} {picture} {theme}: {alert.inner_text()}" for alert in alerts]
            if kept is None or picture in kept:
                _whole_page(page)
                page.screenshot(path=folder / f"{prefix}{picture}-{theme}.png")
                page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    context.close()
    return problems


def _views(page: Page) -> list[str | None]:
    """The views of a page in their order; None stands for the one that is open."""
    others = page.get_by_role("radiogroup", name="View").get_by_role("radio").all_inner_texts()[1:]
    return [None, *others]


def _begin(page: Page) -> None:
    """Begin the studies of a view that wait for it, one after the other, and let them come to their end."""
    start = page.get_by_test_id("stMain").locator("[class*='st-key-start']").get_by_role("button")
    for _ in range(_MOST_STUDIES):  # one that fails offers itself again
        if start.count():
            start.first.click()
            settle(page, timeout=600)


def _prune_a_little(page: Page) -> None:
    """Cut everything step by step, and go back to try one target or another, so that there is something to show."""
    everything, *targets = page.get_by_role("slider").all()[:3]
    for _ in range(3):
        _cut(page, everything)
    for target in targets:
        page.get_by_role("button", name="Undo").click()
        settle(page)
        _cut(page, target)
        _cut(page, target)


def _cut(page: Page, slider: Locator) -> None:
    """Move a slider five steps up."""
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    settle(page)


def _name_a_trial(page: Page) -> None:
    """Star and name the newest trial, which is in force."""
    tick(page, 0)
    page.get_by_role("textbox", name="Name").fill("careful")
    page.locator("label").filter(has_text=re.compile("^Star$")).click()
    page.get_by_role("button", name="Save", exact=True).click()
    settle(page)
    page.get_by_text("Saved.").wait_for(state="hidden")


def _whole_page(page: Page) -> None:
    """Make the window as high as the page, since its main part scrolls in itself."""
    height = page.evaluate("document.querySelector(\"[data-testid='stMain']\").scrollHeight")
    page.set_viewport_size({"width": WIDTH, "height": max(HEIGHT, min(int(height), 2400))})
    page.evaluate("document.querySelector(\"[data-testid='stMain']\").scrollTo(0, 0)")
    page.wait_for_timeout(700)


def main() -> int:
    """The command line; 1 if a page shows an error."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.screenshots", description=__doc__)
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="every page, sample and theme")
    parser.add_argument("--network", action="append", help="with --all: only these")
    options = parser.parse_args()
    folder = options.all or ROOT / "docs" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    names = options.network or sample_models.names()
    wanted = [(n, t, None) for n in names for t in ("light", "dark")] if options.all else README
    problems: list[str] = []
    with server() as running, browser() as chromium:
        for network, theme, kept in wanted:
            print(f"{network}, {theme}", file=sys.stderr)
            prefix = f"{network}-" if options.all else ""
            problems += tour(chromium, running.url, network, theme, folder, prefix, kept)
    print("\n".join(problems) or f"every page drew without an error, into {folder}")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())

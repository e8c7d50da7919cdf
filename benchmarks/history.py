"""A long history on the screen: ``python -m benchmarks.history``.

Fills a store with 10,000 trials of a network, each with a plan, numbers and a parent as the app would keep them (their
values are drawn, their shape is real), and drives the History page in a browser: from the click on its link until
every row can be reached, and from a click on a column's head until the rows stand in another order. Beside it stands
what the server does for it, in this process. Writes benchmarks/results/history.json.
"""

from __future__ import annotations

import random
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from playwright.sync_api import Page

import sample_models
from analysis.history import Label, Trial
from analysis.history.tree import lay_out
from analysis.importance import score
from analysis.measure import measure
from analysis.measure.measurement import Numbers
from analysis.measure.quality import Interval
from analysis.pruning.plan import Plan, make_plan, targets, uniform_plan
from analysis.pruning.prune import prune
from analysis.sources import Opened
from analysis.store import Store
from benchmarks.rows import Row, at_most, publish, seconds
from tests.e2e.harness import browser, choose_view, server, settle
from ui.history import table_data

NETWORK = "fashion-resnet"
TRIALS = 10_000
IMAGES = 1000  # what the app measures on unless told otherwise
HISTORY = "0123456789abcdef"
TIMES = 5
_NAME_EVERY, _STAR_EVERY = 50, 40
_TO_HEADLINE = 32 + 34 + 34 + 130 + 40  # pixels: ticks, star, in force, name, and a way into the column

# From a moment before the click to the frame in which the table tells what is asked for.
_BEGIN = "() => { window.began = performance.now(); }"
_UNTIL = """wanted => new Promise(done => {
  const look = () => {
    const grid = document.querySelector("[data-testid='stDataFrame'] canvas table[role=grid]");
    const cell = grid && grid.querySelector("#glide-cell-5-0");
    const rows = grid ? Number(grid.getAttribute('aria-rowcount')) : 0;
    if (cell && cell.textContent && rows >= wanted.rows && cell.textContent !== wanted.not) {
      done([performance.now() - window.began, cell.textContent]);
    } else requestAnimationFrame(look);
  };
  look();
})"""


def fill(store: Store, opened: Opened, count: int) -> None:
    """Keep `count` trials: mostly each grown from the one before, some from an earlier one."""
    draw = random.Random(0)
    network, split = opened.network, opened.dataset.evaluation.sample(IMAGES)
    dense = measure(network, split, opened.dataset.task)
    plan = uniform_plan(network, "l1", "channel", 0.5)
    pruned = measure(prune(network, plan, score(network, "l1")), split, opened.dataset.task, dense=dense)
    store.add_trial(HISTORY, IMAGES, Trial(Plan(network.name, "l1"), dense.numbers()))
    made = [Plan(network.name, "l1")]
    for i in range(1, count):
        ratios = {target: draw.random() * 0.8 for target in targets(network, "channel")}
        plan = make_plan(network, "l1", "channel", ratios)
        parent = made[-1] if draw.random() < 0.9 else draw.choice(made)
        number = store.add_trial(HISTORY, IMAGES, Trial(plan, _drawn(pruned.numbers(), draw), parent))
        made.append(plan)
        if not i % _NAME_EVERY or not i % _STAR_EVERY:
            label = Label(f"try {i}", "worth another look", not i % _STAR_EVERY, ("tuned",))
            store.put_label(HISTORY, number, label)


def _drawn(numbers: Numbers, draw: random.Random) -> Numbers:
    """Numbers as they were measured, at another quality and size."""
    value, left = draw.uniform(0.4, 0.93), draw.uniform(0.1, 1)
    layers = {name: round(count * left) for name, count in numbers.cost.layer_nonzero.items()}
    cost = replace(
        numbers.cost, layer_nonzero=layers, nonzero_connections=sum(layers.values()),
        parameters=round(left * numbers.cost.parameters), macs=round(left * numbers.cost.macs),
    )  # fmt: skip
    headline = next(iter(numbers.quality))
    quality = {**numbers.quality, headline: Interval(value, value - 0.02, value + 0.02)}
    change = {**numbers.change, headline: Interval(value - 0.93, value - 0.95, value - 0.91)}
    return replace(numbers, cost=cost, quality=quality, change=change)


def on_the_server(store: Store, opened: Opened) -> list[Row]:
    """What one run of the page asks of the server: reading the list, making the table, laying out the tree."""
    connections = [layer.connections for layer in opened.network.layers]
    metric = opened.dataset.task.headline
    known = store.summaries(HISTORY, NETWORK)
    shown = range(len(known))[::-1]
    conditions = f"{len(known):,} trials, median of {TIMES}"
    return [
        at_most("reading the list of trials", _median(lambda: store.summaries(HISTORY, NETWORK)), "s", None, conditions),
        at_most(
            "making the table's columns",
            _median(lambda: table_data.columns(known, shown, connections, metric, "")), "s", None, conditions,
        ),
        at_most("laying out the whole tree", _median(lambda: lay_out(known)), "s", None, conditions),
    ]  # fmt: skip


def on_the_screen(database: Path) -> list[Row]:
    """What a hand feels: opening the page, sorting its table, and the tree."""
    opens, sorts = [], []
    with server(history=database) as running, browser() as chromium:
        page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.goto(f"{running.url}/?network={NETWORK}&history={HISTORY}")
        settle(page)
        for _ in range(TIMES):
            opens.append(
                _until(page, lambda: page.get_by_role("link", name="History", exact=True).click(), "")[0]
            )
            settle(page)
            box = page.get_by_test_id("stDataFrame").bounding_box()
            assert box is not None
            for _ in range(2):  # the first click may find the order that is there already
                before = page.locator("#glide-cell-5-0").text_content() or ""
                at = box["x"] + _TO_HEADLINE, box["y"] + 18
                sorts.append(_until(page, lambda at=at: page.mouse.click(*at), before)[0])  # type: ignore[misc]
            page.get_by_role("link", name="Model", exact=True).click()
            settle(page)
        page.get_by_role("link", name="History", exact=True).click()
        settle(page)
        drawn_in, _ = seconds(lambda: choose_view(page, "Tree"))
    conditions = f"{TRIALS:,} trials, {TIMES} times, median, server and browser on the same 2 cores"
    return [
        at_most(f"{NETWORK}: the History page opens", statistics.median(opens) / 1000, "s", 1, conditions),
        at_most(f"{NETWORK}: its table sorts", statistics.median(sorts) / 1000, "s", 1, conditions),
        at_most(f"{NETWORK}: its tree is drawn and at rest", drawn_in, "s", None, conditions),
    ]


def _until(page: Page, act: Callable[[], None], before: str) -> tuple[float, str]:
    """Milliseconds until the first cell of the headline says something else than `before`, and what."""
    page.evaluate(_BEGIN)
    act()
    return page.evaluate(_UNTIL, {"rows": TRIALS, "not": before})


def _median(work: Callable[[], object]) -> float:
    return statistics.median(seconds(work)[0] for _ in range(TIMES))


def main() -> None:
    """Measure, print, write."""
    torch.set_num_threads(1)
    opened = sample_models.load(NETWORK)
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "history.sqlite"
        store = Store(f"sqlite:///{database}")
        filled_in, _ = seconds(lambda: fill(store, opened, TRIALS))
        rows = [at_most("keeping a trial", filled_in / TRIALS, "s", None, f"{TRIALS:,} trials, one by one")]
        rows += on_the_server(store, opened)
        store.close()
        rows += on_the_screen(database)
    publish(rows, "history")


if __name__ == "__main__":
    main()

"""The app as a hand feels it: a real server, real browsers, real mouse drags on this machine."""

from __future__ import annotations

import random
import statistics
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from benchmarks.rows import Row, at_least, at_most
from tests.e2e.harness import Server, browser, server, settle

MOVES = 50
SESSIONS = 6
MANY = 150
_CONSOLE = Path(__file__).parents[1] / "ui" / "prune_console"

# From the release of the pointer to the first frame whose number is measured, and whether an estimate was
# painted in the frame of each input.
_WATCH = """root => {
  const isNew = !window.watched;
  window.watched = {releases: [], inputs: 0, sameFrame: 0};
  if (!isNew) return;
  const status = () => root.querySelector('.status').textContent;
  root.addEventListener('input', () => {
    window.watched.inputs += 1;
    requestAnimationFrame(() => { if (!status().startsWith('no ')) window.watched.sameFrame += 1; });
  });
  root.addEventListener('pointerup', () => {
    const start = performance.now();
    const look = () => {
      if (status().startsWith('measured')) window.watched.releases.push(performance.now() - start);
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
}"""

_MOUNT = """([js, data]) => new Promise(done => {
  const blob = new Blob([js], {type: 'text/javascript'});
  import(URL.createObjectURL(blob)).then(module => {
    module.default({data, parentElement: document.body, setStateValue: () => {}});
    done();
  });
})"""

_FRAMES = """() => {
  window.frames_ = []; let last = performance.now();
  const tick = now => { window.frames_.push(now - last); last = now; requestAnimationFrame(tick); };
  requestAnimationFrame(tick);
}"""


def rows(network: str, images: int) -> list[Row]:
    """All figures that need a browser."""
    conditions = f"{network}, {images:,} images, server and browser on the same 2 cores"
    with server() as running, browser() as chromium:
        page = open_prune(chromium, running, network, images)
        waits, same_frame = drag_often(page, MOVES)
        memory = _memory_of_sessions(chromium, running, network, images)
    with server() as running, browser() as chromium:
        busy = _beside_a_sweep(chromium, running, network, images)
    with browser() as chromium:
        frames = _frames_of_many(chromium)
    return [
        at_most(
            f"{network}: pointer release to a measured number, p95", p95(waits), "ms", 400,
            f"{conditions}, {len(waits)} moves, median {statistics.median(waits):.0f} ms",
        ),
        at_least(f"{network}: inputs with an estimate in the same frame", 100 * same_frame, "%", 100, conditions),
        at_most(
            f"{network}: the same while another browser sweeps, p95", p95(busy), "ms", 1000,
            f"{conditions}, {len(busy)} moves, median {statistics.median(busy):.0f} ms",
        ),
        at_most(f"{network}: memory of one more session", memory, "MB", 40, f"{SESSIONS} more sessions, VmRSS"),
        at_least(
            f"{MANY} targets: frames a second while dragging", 1000 / statistics.mean(frames), "1/s", 58,
            f"software rendering, {len(frames)} frames, p95 {p95(frames):.1f} ms, a 60 Hz clock",
        ),
    ]  # fmt: skip


def open_prune(chromium: Browser, running: Server, network: str, images: int, *, sweep: bool = True) -> Page:
    """A page of its own on the Prune page; the first one of a server also waits for its sweep."""
    page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(f"{running.url}/prune?network={network}")
    settle(page)
    page.get_by_role("combobox", name="Measured on").click()
    page.get_by_role("option", name=f"{images:,} test images", exact=True).click()
    if sweep:
        page.get_by_text(f"{images:,} examples: done").wait_for(timeout=120_000)
    settle(page)
    return page


def drag_often(page: Page, times: int) -> tuple[list[float], float]:
    """Milliseconds from release to a measured number, and the share of inputs with an estimate at once."""
    draw = random.Random(0)
    page.locator(".pc").evaluate(_WATCH)
    sliders = page.locator(".pc .row input[type=range]")
    for i in range(times):
        box = sliders.nth(i % sliders.count()).bounding_box()
        assert box is not None
        _drag(page, box, draw)
        page.wait_for_function("n => window.watched.releases.length > n", arg=i, timeout=30_000)
        page.wait_for_timeout(draw.uniform(200, 1500))
    watched: dict[str, Any] = page.evaluate("() => window.watched")
    return watched["releases"], watched["sameFrame"] / watched["inputs"]


def _drag(page: Page, box: Any, draw: random.Random) -> None:
    y = box["y"] + box["height"] / 2
    start, stop = draw.uniform(0.1, 0.7), draw.uniform(0.05, 0.7)
    page.mouse.move(box["x"] + start * box["width"], y)
    page.mouse.down()
    for step in range(1, 16):
        page.mouse.move(box["x"] + (start + (stop - start) * step / 15) * box["width"], y)
        page.wait_for_timeout(16)
    page.mouse.up()


def _memory_of_sessions(chromium: Browser, running: Server, network: str, images: int) -> float:
    """Megabytes of the server for each further session on a network that is open already."""
    before = _resident(running)
    for _ in range(SESSIONS):
        drag_often(open_prune(chromium, running, network, images, sweep=False), 2)
    return (_resident(running) - before) / SESSIONS / 1e6


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def _resident(running: Server) -> float:
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return 1024 * float(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def _beside_a_sweep(chromium: Browser, running: Server, network: str, images: int) -> list[float]:
    """Drag in one browser while another one sweeps, again and again under other criteria."""
    dragging = open_prune(chromium, running, network, images)
    sweeping = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
    sweeping.goto(f"{running.url}/prune?network={network}")
    settle(sweeping)
    waits: list[float] = []
    for criterion in ("L2 magnitude", "Random", "BatchNorm scale"):
        sweeping.get_by_role("combobox", name="Criterion").click()
        sweeping.get_by_role("option", name=criterion, exact=True).click()
        sweeping.get_by_text("Cancel").wait_for(timeout=20_000)
        waits += drag_often(dragging, 7)[0]
    return waits


def _frames_of_many(chromium: Browser) -> list[float]:
    """Milliseconds between frames while one of many sliders is dragged, the curves drawn."""
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    style = (_CONSOLE / "console.css").read_text()
    page.set_content(f"<style>{style}</style><div class='pc'></div>")
    page.evaluate(_MOUNT, [(_CONSOLE / "console.js").read_text(), _many_targets()])
    box = page.locator(".row input[type=range]").nth(3).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.evaluate(_FRAMES)
    for step in range(240):
        page.mouse.move(box["x"] + 8 + step % 120, box["y"] + box["height"] / 2)
    page.mouse.up()
    return page.evaluate("() => window.frames_.slice(3)")


def _many_targets() -> dict[str, Any]:
    names = [f"block{i}.conv" for i in range(MANY)]
    points = [[r / 10, 0.95 - 0.08 * r, 0.9 - 0.08 * r, 1 - 0.08 * r] for r in range(1, 10)]
    row = {"type": "Conv2d", "share": 1 / MANY, "note": "", "size": 64}
    count = {"pair_parameters": 9, "output_parameters": 1, "pair_macs": 900, "output_macs": 0}
    entries = [
        {
            "outputs": 64, "inputs": 64, **count,
            "takings": [
                {"group": name, "side": "out", "each": 1, "table": None},
                {"group": names[i - 1], "side": "in", "each": 1, "table": None},
            ],
        }
        for i, name in enumerate(names)
    ]  # fmt: skip
    return {
        "id": "many", "granularity": "channel", "metric": {"label": "Accuracy", "percent": True},
        "noun": "test images", "way": {"label": "Ratio removed", "unit": "% removed"},
        "rows": [{**row, "target": name, "members": [name]} for name in names], "refused": [],
        "ledger": {"entries": entries, "parameters": 0, "macs": 0},
        "dense": {"value": 0.95, "parameters": 1, "macs": 1, "nonzero": 1}, "floor": 0.1,
        "curves": dict.fromkeys(names, points),
        "state": {
            "ack": 0, "ratios": {}, "locked": [], "anchor": None, "can_undo": False, "can_redo": False,
            "unsettled": False, "typed": {}, "nonzero": None,
        },
        "reading": {"value": 0.95, "low": 0.95, "high": 0.95, "examples": 9, "total": 9, "exact": True},
        "prediction": "", "message": "", "palette": {},
    }  # fmt: skip

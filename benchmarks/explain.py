"""What explaining costs: ``python -m benchmarks.explain``.

Similarity against ratio is measured as the app does it: a worker process of its own, from its start to its
last part, on one thread; beside it stands the same in a script of one's own. Pairs of attributions are timed
in this process, and on the screen: from the click to the last picture. Writes benchmarks/results/explain.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import numpy as np
import torch
from captum import attr
from playwright.sync_api import Page
from scipy.stats import spearmanr
from torch import nn

import sample_models
from analysis.explain.explainer import explainer
from analysis.explain.methods import METHODS
from analysis.importance import score
from analysis.pruning.plan import uniform_plan
from analysis.pruning.prune import prune
from analysis.units import make_request
from analysis.units.drift import parameters
from benchmarks.naive import accuracy, plain_module, prune_channels
from benchmarks.rows import Row, at_least, at_most, publish, seconds
from tests.e2e.harness import browser, server, settle

NETWORK = "fashion-resnet"
RATIOS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
IMAGES, EXPLAINED, PAIR = 1000, 128, 16


def drift_job() -> list[Row]:
    """Ten ratios, two methods, from the start of the worker to its end, and to the first point."""
    wanted = parameters(["saliency", "grad-cam"], EXPLAINED, RATIOS, criterion="l1", granularity="channel")
    request = make_request("drift", NETWORK, IMAGES, parameters=wanted)
    start, first, parts = time.perf_counter(), 0.0, 0
    process = subprocess.Popen(
        [sys.executable, "-m", "analysis.worker"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    for line in process.stdout:
        parts += "result" in json.loads(line)
        first = first or (time.perf_counter() - start if parts else 0.0)
    code = process.wait()
    whole = time.perf_counter() - start
    assert code == 0 and parts == len(RATIOS) + 1, (code, parts)
    where = (
        f"{NETWORK}, channels by L1, {EXPLAINED} images explained by Saliency and GradCAM, quality on "
        f"{IMAGES:,}, floor of 3 networks, a worker process on 1 thread"
    )
    return [
        at_most("similarity against 10 ratios, as a job", whole, "s", 60, where),
        at_most("of that, until the first point is drawn", first, "s", None, where),
    ]


def drift_by_hand() -> Row:
    """The curves alone, without bands, intervals or a floor, as a script of one's own has them."""
    opened = sample_models.load(NETWORK)
    network, split = opened.network, opened.dataset.evaluation.sample(IMAGES)
    dense = plain_module(NETWORK, network.module.state_dict())
    groups = [group.name for group in network.groups if group.is_prunable]
    inputs, targets = split.inputs[:EXPLAINED], split.targets[:EXPLAINED]
    last = [layer.name for layer in network.layers if layer.type == "Conv2d"][-1]

    def maps(model: nn.Module) -> list[np.ndarray]:
        saliency = attr.Saliency(model).attribute(inputs.clone().requires_grad_(True), target=targets)
        grad_cam = attr.LayerGradCam(model, model.get_submodule(last)).attribute(inputs, target=targets)
        return [one.detach().flatten(1).numpy() for one in (saliency, grad_cam)]

    def curves() -> None:
        before = maps(dense)
        for ratio in RATIOS:
            model = prune_channels(dense, network.example_input, dict.fromkeys(groups, ratio))
            accuracy(model, split.inputs, split.targets)
            for old, new in zip(before, maps(model), strict=True):
                np.median([spearmanr(a, b).statistic for a, b in zip(old, new, strict=True)])

    where = f"{NETWORK}: deepcopy, torch-pruning, Captum, scipy, batch 256; no floor, no bands; imports not counted"
    return at_most("the same curves by a script of one's own", seconds(curves)[0], "s", None, where)


def pairs() -> list[Row]:
    """Maps of a few images before and after a plan."""
    opened = sample_models.load(NETWORK)
    network, dataset = opened.network, opened.dataset
    pruned = prune(network, uniform_plan(network, "l1", "channel", 0.3), score(network, "l1"))
    some = dataset.evaluation.sample(PAIR)
    where = f"{NETWORK}, dense and 30% of its channels cut, 1 thread"

    def taken(method: str) -> float:
        explain = explainer(method, dataset.baseline)
        explain(network, some.inputs[:1], some.targets[:1])
        return seconds(lambda: [explain(n, some.inputs, some.targets) for n in (network, pruned)])[0]

    return [
        at_most(f"{METHODS[m].label} of {PAIR} images, before and after", taken(m), "s", None, where)
        for m in ("saliency", "grad-cam", "deep-lift")
    ]


def on_screen() -> list[Row]:
    """Seconds from a click to the last picture of a pair, and to the progress of a longer method."""
    where = f"{NETWORK}, {PAIR} images, before and after, server and browser on the same 2 cores"
    rows = []
    with server() as running, browser() as chromium:
        page = chromium.new_context(viewport={"width": 1280, "height": 800}).new_page()
        page.goto(f"{running.url}/compare?network={NETWORK}")
        settle(page)
        page.get_by_role("button", name="Prune 30% of every group").click()
        settle(page)
        page.get_by_role("radio", name=str(PAIR), exact=True).click()
        settle(page)
        for method in ("grad-cam", "deep-lift", "input-x-gradient", "saliency"):
            taken = _seconds_to(page, method, f"{METHODS[method].label} towards")
            bar = None if method == "input-x-gradient" else 1.5
            rows.append(
                at_most(f"{METHODS[method].label}, from the click to the screen", taken, "s", bar, where)
            )
        taken = _seconds_to(page, "lime", "LIME of 16 images: ")
        rows.append(at_most("LIME, from the click to its progress", taken, "s", 0.3, where))
        start = time.perf_counter()
        page.get_by_test_id("stMain").get_by_role("button", name="Cancel").click()
        page.get_by_text("LIME of 16 images: cancelled").wait_for()
        rows.append(at_most("LIME, from Cancel to its end", time.perf_counter() - start, "s", None, where))
        taken = _seconds_to(page, "deep-lift", "DeepLift towards")
        rows.append(at_most("DeepLift again: it is kept", taken, "s", None, where))
    return rows


def _seconds_to(page: Page, method: str, text: str) -> float:
    """Seconds from the choice of a method until `text` is on the screen and every picture is drawn."""
    settle(page)
    page.get_by_role("combobox", name="Method").click()
    option = page.get_by_role("option", name=f"{METHODS[method].label} · {METHODS[method].kind}", exact=True)
    option.wait_for()
    return float(page.evaluate(_WATCH, [option.element_handle(), text])) / 1000


_WATCH = """([option, text]) => new Promise(done => {
  const start = performance.now();
  const main = document.querySelector("[data-testid='stMain']");
  const look = () => {
    const found = [...main.querySelectorAll("p")].some(p => p.textContent.startsWith(text));
    const drawn = [...main.querySelectorAll("img")].every(img => img.complete);
    if (found && drawn) requestAnimationFrame(() => done(performance.now() - start));
    else requestAnimationFrame(look);
  };
  option.click();
  requestAnimationFrame(look);
})"""


def main() -> None:
    """Measure, print, write."""
    torch.set_num_threads(1)
    ours, by_hand = drift_job(), drift_by_hand()
    times = at_least(
        "the script's time over the job's", by_hand.value / ours[0].value, "x", None, "the two above"
    )
    publish([*ours, by_hand, times, *pairs(), *on_screen()], "explain")


if __name__ == "__main__":
    main()

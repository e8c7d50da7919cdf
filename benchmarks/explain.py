"""What explaining costs: ``python -m benchmarks.explain``.

Similarity against ratio is measured as the app does it: a worker process of its own, from its start to its
last part, on one thread. The attribution pairs run in this process, on one thread, after a first pair that
pays for imports. Writes benchmarks/results/explain.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import torch

import sample_models
from analysis.explain.explainer import explainer
from analysis.explain.methods import METHODS
from analysis.importance import score
from analysis.pruning.plan import uniform_plan
from analysis.pruning.prune import prune
from analysis.units import make_request
from analysis.units.drift import parameters
from benchmarks.rows import Row, at_most, publish, seconds

NETWORK = "fashion-resnet"
RATIOS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
IMAGES, EXPLAINED, PAIR = 1000, 128, 16


def drift_job() -> list[Row]:
    """Ten ratios, two methods, from the start of the worker to its end, and to the first point."""
    wanted = parameters(["saliency", "grad-cam"], EXPLAINED, RATIOS, criterion="l1", granularity="channel")
    request = make_request("drift", NETWORK, IMAGES, parameters=wanted)
    start, first, parts = time.perf_counter(), 0.0, 0
    process = subprocess.Popen(
        [sys.executable, "-m", "analysis", "work"],
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


def main() -> None:
    """Measure, print, write."""
    torch.set_num_threads(1)
    publish(drift_job() + pairs(), "explain")


if __name__ == "__main__":
    main()

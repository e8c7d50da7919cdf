"""What recovery brings back: ``python -m benchmarks.recovery [--seeds 3]``.

A sample network is cut to a size, recovered on one thread, and measured on all test images. Beside it stands what
torch-pruning does out of the box (uniform L1, every layer alike, trained on the labels), and once more trained as we
train, which leaves the allocation alone as the difference. Nothing is decided by test images: sensitivities are measured on
calibration images, and training stops by held-out ones. Seconds are those of one processor (CPU time), so that what
runs beside does not count. Writes benchmarks/results/recovery.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context

import torch
import torch_pruning as tp
from torch import nn

import sample_models
from analysis.allocation.goals import Goal
from analysis.allocation.problem import make_problem
from analysis.allocation.registry import METHODS
from analysis.allocation.repaired_curves import repaired_sweep
from analysis.allocation.solve import solve
from analysis.importance.registry import score
from analysis.live import Gauge
from analysis.measure.cost import cost
from analysis.measure.quality import evaluate
from analysis.network import Network
from analysis.pruning.plan import Plan
from analysis.pruning.plan_json import from_json, to_json
from analysis.pruning.prune import prune
from analysis.pruning.selection import select
from analysis.recovery.defaults import course_for, recipe_for
from analysis.recovery.distil import Distillation, distil, learn
from analysis.recovery.gradual import gradually
from analysis.recovery.pruned import Pruned, begin_whole
from analysis.recovery.recipe import Recipe
from analysis.recovery.training import Epoch
from analysis.sensitivity import curves_of
from analysis.sources import Opened
from analysis.tracing import trace
from benchmarks.naive import plain_module
from benchmarks.rows import Row, at_least, at_most, publish

RESNET, LENET = "fashion-resnet", "fashion-lenet"
LEFT = (0.7, 0.5, 0.3)  # of the MACs
WEIGHTS = ((RESNET, 0.2), (RESNET, 0.1), (LENET, 0.05))  # the share left
CALIBRATION = 1000  # images on which sensitivities are measured
SHORT = 6  # epochs, in which all are compared
CAP = 0.5  # of a target: what is narrower can hardly learn again
BUDGET = 180.0  # seconds
POINT = 1.0


@dataclass(frozen=True)
class Outcome:
    """Accuracy, in percent, of the dense network, as pruned and recovered; what is left of the MACs; seconds."""

    dense: float
    pruned: float
    recovered: float
    macs: float
    seconds: float


@dataclass(frozen=True)
class Task:
    """One run: what is done (a key of `RUNS`), to which network, what share is left, and the seed.

    `plan` is the plan to carry out, as JSON, if it is known before; `epochs` are 0 for as many as suit the network.
    """

    run: str
    network: str
    left: float
    seed: int
    plan: str = ""
    epochs: int = 0


def ours(opened: Opened, task: Task) -> Outcome:
    """The greedy plan of channels by L1, then distillation from the dense network."""
    network, plan = opened.network, from_json(task.plan)
    scores = score(network, plan.criterion, opened.dataset)
    start = time.process_time()
    pruned = begin_whole(network, opened.dataset).without(select(network, plan, scores))
    epochs = distil(pruned, recipe(pruned, task.seed, task.epochs), Distillation())
    return outcome(opened, pruned.network, best(epochs), start)


def greedy_plans(opened: Opened) -> dict[float, Plan]:
    """The sensitivity-greedy plans that leave each share of the MACs, from curves on calibration images."""
    network, dataset = opened.network, opened.dataset
    scores = score(network, "l1", dataset)
    gauge = Gauge(network, dataset.calibration.sample(CALIBRATION), dataset.task)
    points = list(repaired_sweep(network, scores, "channel", dataset, gauge.split))
    problem = make_problem(gauge, scores, "channel", cap=CAP, curves=curves_of(points))
    path = METHODS["greedy"].path(problem, "macs", "smallest-loss")
    found = {left: solve(problem, Goal("macs", left), path) for left in LEFT}
    return {left: problem.plan(solution.counts) for left, solution in found.items() if solution}


def library(opened: Opened, task: Task, *, taught: bool) -> Outcome:
    """torch-pruning's uniform L1 pruner at the same MACs, trained by the same recipe, or on the labels alone."""
    start, left, seed = time.process_time(), task.left, task.seed
    network = trace(library_cut(opened.network, left), opened.network.example_input, opened.network.name)
    pruned = replace(begin_whole(opened.network, opened.dataset), network=network)
    epochs = learn(pruned, recipe(pruned, seed, task.epochs), Distillation() if taught else None)
    return outcome(opened, network, best(epochs), start)


def library_cut(network: Network, left: float) -> nn.Module:
    """The uniform ratio at which torch-pruning leaves at most this share of the MACs, by bisection."""
    whole = cost(network).macs
    low, high = 0.0, 1.0
    found = None
    for _ in range(10):
        ratio = (low + high) / 2
        module = plain_module(network.name, network.module.state_dict())
        pruner = tp.pruner.MagnitudePruner(
            module, network.example_input, importance=tp.importance.MagnitudeImportance(p=1),
            pruning_ratio=ratio, ignored_layers=[module.get_submodule("head")],
            in_channel_groups={}, out_channel_groups={},
        )  # fmt: skip
        pruner.step()
        if cost(trace(module, network.example_input, network.name)).macs <= left * whole:
            high, found = ratio, module
        else:
            low = ratio
    assert found is not None
    return found.eval()


def weights(opened: Opened, task: Task) -> Outcome:
    """Single weights by L1 magnitude, spread by LAMP, removed gradually and distilled in between."""
    network, dataset, left, seed = opened.network, opened.dataset, task.left, task.seed
    scores = score(network, "l1", dataset)
    gauge = Gauge(network, dataset.calibration.sample(CALIBRATION), dataset.task)
    start = time.process_time()
    problem = make_problem(gauge, scores, "weight", cap=1.0)
    path = METHODS["lamp"].path(problem, "parameters", "smallest-loss")
    solution = solve(problem, Goal("connections", left), path)
    assert solution is not None
    plan = problem.plan(solution.counts)
    one_shot = prune(network, plan, scores)
    ready = begin_whole(network, dataset)
    *_, last = gradually(ready, plan, course_for(recipe(ready, seed)))
    return outcome(opened, one_shot, last.network, start)


def recipe(pruned: Pruned, seed: int, epochs: int = 0) -> Recipe:
    """What the app offers to begin with; `epochs` of it, if they are not 0."""
    usual = recipe_for(pruned)
    return replace(usual, epochs=epochs or usual.epochs, seed=seed)


def best(epochs: Iterable[Epoch]) -> Network:
    """The network of the epoch that was best on the held-out images."""
    found = None
    for epoch in epochs:
        found = epoch.network or found
    assert found is not None
    return found


def outcome(opened: Opened, pruned: Network, recovered: Network, start: float) -> Outcome:
    """What was reached since `start`, on all test images."""
    seconds = time.process_time() - start
    dense, cut, now = (_accuracy(opened, network) for network in (opened.network, pruned, recovered))
    return Outcome(dense, cut, now, cost(recovered).macs / cost(opened.network).macs, seconds)


def _accuracy(opened: Opened, network: Network) -> float:
    dataset = opened.dataset
    return 100 * float(evaluate(network, dataset.evaluation, dataset.task).correct.double().mean())


RUNS: dict[str, Callable[[Opened, Task], Outcome]] = {
    "ours": ours,
    "library": partial(library, taught=True),
    "library, labels alone": partial(library, taught=False),
    "weights": weights,
}


def carry_out(task: Task) -> Outcome:
    """Do one run, in a process of its own."""
    torch.set_num_threads(1)
    found = RUNS[task.run](sample_models.load(task.network), task)
    print(f"{task.run}, {task.network}, {task.left}, seed {task.seed}: {found}", file=sys.stderr, flush=True)
    return found


def rows(found: Sequence[tuple[Task, Outcome]]) -> list[Row]:
    """The table."""
    table: list[Row] = []

    def of(run: str, network: str, left: float, epochs: int = 0) -> list[Outcome]:
        wanted = (run, network, left, epochs)
        return [o for task, o in found if (task.run, task.network, task.left, task.epochs) == wanted]

    half = of("ours", RESNET, 0.5)
    removed = f"{RESNET}, 50% of the MACs removed"
    table += [
        at_most(f"{removed}: points below dense, mean", _mean(half), "points", POINT, _words(half)),
        at_most(f"{removed}: seconds of one processor", _slowest(half), "s", BUDGET, "of recovery"),
    ]
    for left in LEFT:
        mine, alone = (of(run, RESNET, left, SHORT) for run in ("ours", "library, labels alone"))
        same = of("library", RESNET, left, SHORT)
        removed = f"{RESNET}, {1 - left:.0%} of the MACs removed, {SHORT} epochs"
        table += [
            at_most(f"{removed}: points below dense, mean", _mean(mine), "points", None, _words(mine)),
            _ahead(f"{removed}: ahead of torch-pruning, trained on the labels", mine, alone),
            _ahead(f"{removed}: ahead of torch-pruning with our training", mine[: len(same)], same),
        ]
    for network, left in WEIGHTS:
        mine = of("weights", network, left)
        removed = f"{network}, {1 - left:.0%} of the weights removed"
        bar = None if (network, left) == (RESNET, 0.1) else POINT
        table += [
            at_most(f"{removed}: points below dense, mean", _mean(mine), "points", bar, _words(mine)),
            at_most(f"{removed}: seconds of one processor", _slowest(mine), "s", None, "gradual, distilled"),
        ]
    return table


def _ahead(what: str, mine: Sequence[Outcome], theirs: Sequence[Outcome]) -> Row:
    return at_least(what, _mean(theirs) - _mean(mine), "points", 0.0, _words(theirs))


def _mean(outcomes: Sequence[Outcome]) -> float:
    """Points below the dense network, over the seeds."""
    return statistics.mean(o.dense - o.recovered for o in outcomes)


def _slowest(outcomes: Sequence[Outcome]) -> float:
    return max(o.seconds for o in outcomes)


def _words(outcomes: Sequence[Outcome]) -> str:
    each = ", ".join(f"{o.pruned:.1f} to {o.recovered:.2f}" for o in outcomes)
    return f"dense {outcomes[0].dense:.2f}%; as pruned to recovered, by seed: {each}; {outcomes[0].macs:.1%} of the MACs left"


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--more-seeds", type=int, default=1, help="of weights, and of torch-pruning with our training"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    seeds = range(options.seeds)
    plans = {left: to_json(plan) for left, plan in greedy_plans(sample_models.load(RESNET)).items()}
    tasks = [
        *(Task("ours", RESNET, 0.5, seed, plans[0.5]) for seed in seeds),
        *(Task("ours", RESNET, left, seed, plans[left], SHORT) for seed in seeds for left in LEFT),
        *(Task("library, labels alone", RESNET, left, seed, "", SHORT) for seed in seeds for left in LEFT),
        *(
            Task("weights", network, left, seed)
            for network, left in WEIGHTS
            for seed in range(options.more_seeds)
        ),
        *(
            Task("library", RESNET, left, seed, "", SHORT)
            for left in LEFT
            for seed in range(options.more_seeds)
        ),
    ]
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        found = list(zip(tasks, pool.map(carry_out, tasks), strict=True))
    publish(rows(found), "recovery")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The live measurement against the loop a user would write: ``python -m benchmarks.live``.

Engine figures first: both sides run in turn in this process on one thread. Then the app in a real browser
(``--engine`` leaves that out). Writes benchmarks/results/live.json.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

import sample_models
from analysis.importance import Scores, score
from analysis.live import Gauge, Run
from analysis.measure.cost import layer_macs
from analysis.measure.quality import Evaluation
from analysis.network import Network
from analysis.pruning.plan import Granularity, Plan, make_plan, targets
from analysis.sensitivity import COARSE, FINE, Sensitivity, sweep
from benchmarks import browser, naive
from benchmarks.rows import Row, at_least, at_most, publish, seconds

NETWORKS = ("fashion-resnet", "fashion-lenet", "digits-cnn")
IMAGES = 2000
RATIOS = (0.3, 0.5, 0.2, 0.6)  # moves of one slider; the first finds nothing kept
PLANS = 30
LAST_STAGE = ("stage3.",)


@dataclass(frozen=True, eq=False)
class Case:
    """A sample network, its gauge, and the plain module that the naive loop works on."""

    network: Network
    scores: Scores
    gauge: Gauge
    module: nn.Module

    def naively(self, granularity: Granularity, ratios: dict[str, float]) -> float:
        """Seconds of the naive loop for one plan."""
        prune = naive.prune_channels if granularity == "channel" else naive.prune_weights
        split, example = self.gauge.split, self.network.example_input
        return seconds(
            lambda: naive.accuracy(prune(self.module, example, ratios), split.inputs, split.targets)
        )[0]

    def plan(self, granularity: Granularity, ratios: dict[str, float]) -> Plan:
        """The plan of some ratios."""
        return make_plan(self.network, "l1", granularity, ratios)


@dataclass(frozen=True)
class Move:
    """One slider move, timed: the naive loop, our first answer, our exact answer."""

    target: str
    kept: bool
    naive: float
    first: float
    exact: float


def main() -> int:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--engine", action="store_true", help="leave the browser out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    for name in NETWORKS:
        print(f"measuring {name}", flush=True)
        rows += _engine(name, with_bars=name == NETWORKS[0])
    if not options.engine:
        rows += browser.rows(NETWORKS[0], IMAGES)
    publish(rows, "live")
    return 0


def _engine(name: str, *, with_bars: bool) -> list[Row]:
    case = _case(name)
    total = len(case.gauge.split)
    conditions = f"{name}, {total:,} images, 1 thread"

    def bar(value: float) -> float | None:
        return value if with_bars else None

    moves = {g: _moves(case, g) for g in ("channel", "weight")}
    rows = []
    for granularity, wanted in (("channel", 25), ("weight", 15)):
        kept = [m for m in moves[granularity] if m.kept]
        fresh = [m for m in moves[granularity] if not m.kept]
        slowest = min(_by_target(kept, lambda m: m.naive / m.first).values())
        first = f"{conditions}, first answer after {case.gauge.looks[0]} images"
        rows += [
            at_least(
                f"{name}, {granularity}s: move to first answer, slowest target", slowest, "x",
                bar(wanted), first + ", target in hand",
            ),
            at_least(
                f"{name}, {granularity}s: move to first answer, median target",
                statistics.median(_by_target(kept, lambda m: m.naive / m.first).values()), "x",
                None, first + ", target in hand",
            ),
            at_least(
                f"{name}, {granularity}s: the first touch of a target, slowest",
                min(m.naive / m.first for m in fresh), "x", None, first + ", nothing kept yet",
            ),
        ]  # fmt: skip
    rows.append(
        at_least(
            f"{name}: move to within 2 points of the exact value, median plan",
            statistics.median(_within(case)), "x", bar(8),
            f"{conditions}, {PLANS} random plans of both kinds, one target in hand",
        )
    )  # fmt: skip
    kept = [m for m in moves["channel"] if m.kept]
    last = [m for m in kept if m.target.startswith(LAST_STAGE)]
    if last:
        rows.append(
            at_least(
                f"{name}, channels: exact answer after a move in the last stage", _total(last), "x",
                bar(8), f"{conditions}, total time of {len(last)} moves",
            )
        )  # fmt: skip
    rows.append(
        at_least(
            f"{name}, channels: exact answer, averaged over all targets", _total(kept), "x", bar(2.5),
            f"{conditions}, total time of {len(kept)} moves",
        )
    )  # fmt: skip
    rows += _sweep_rows(case, conditions, with_bars=with_bars)
    rows += _limit_rows(case, moves["channel"], conditions)
    return rows


def _case(name: str) -> Case:
    sample = sample_models.load(name)
    split = sample.dataset.evaluation.sample(IMAGES)
    gauge = Gauge(sample.network, split, sample.dataset.task)
    state = sample.network.module.state_dict()
    return Case(sample.network, score(sample.network, "l1"), gauge, naive.plain_module(name, state))


def _moves(case: Case, granularity: Granularity) -> list[Move]:
    found = []
    for target in targets(case.network, granularity):
        for i, ratio in enumerate(RATIOS):
            plan = case.plan(granularity, {target: ratio})
            slow = case.naively(granularity, {target: ratio})
            first, run = seconds(partial(_begun, case, plan, target))
            rest, _ = seconds(run.finish)
            found.append(Move(target, i > 0, slow, first, first + rest))
    return found


def _begun(case: Case, plan: Plan, hand: str) -> Run:
    run = case.gauge.run(plan, case.scores, hand=hand)
    run.advance()
    return run


def _within(case: Case) -> list[float]:
    """Speed-ups of moves in random plans, until the value is known to +-2 points."""
    draw = random.Random(0)
    ratios = []
    for i in range(PLANS):
        granularity: Granularity = ("channel", "weight")[i % 2]
        names = targets(case.network, granularity)
        base = {t: round(draw.uniform(0.05, 0.6), 2) for t in draw.sample(names, draw.randint(1, len(names)))}
        hand = draw.choice(names)
        before = case.gauge.run(case.plan(granularity, base), case.scores)
        before.finish()
        held = case.plan(granularity, {**base, hand: 0.35})
        case.gauge.run(held, case.scores, hand=hand).finish()  # the drag has passed here
        moved = {**base, hand: round(draw.uniform(0.1, 0.6), 2)}
        slow = case.naively(granularity, moved)
        plan = case.plan(granularity, moved)
        fast, _ = seconds(partial(_until_near, case, plan, hand, before.evaluation()))
        ratios.append(slow / fast)
    return ratios


def _until_near(case: Case, plan: Plan, hand: str, near: Evaluation) -> None:
    run = case.gauge.run(plan, case.scores, hand=hand, near=near)
    run.finish(lambda reading: reading.is_within(0.02))


def _sweep_rows(case: Case, conditions: str, *, with_bars: bool) -> list[Row]:
    names = targets(case.network, "channel")
    grid = sorted(COARSE + FINE)
    slow = sum(case.naively("channel", {t: r}) for t in names for r in grid)
    gauge = Gauge(case.network, case.gauge.split, case.gauge.task)  # with nothing kept
    fast, points = seconds(lambda: list(sweep(gauge, case.scores, "channel")))
    exact = {
        (p.target, p.ratio): case.gauge.run(case.plan("channel", {p.target: p.ratio}), case.scores)
        .finish().value.value
        for p in points
    }  # fmt: skip
    held = statistics.mean(_holds(p, exact[p.target, p.ratio]) for p in points)
    widest = max((p.quality.high - p.quality.low) / 2 for p in points)
    where = f"{conditions}, {len(names)} groups x {len(grid)} ratios naive, {len(points)} points ours"
    return [
        at_least(
            f"{case.network.name}: full sweep, every point within 2 points at 95%",
            slow / fast, "x", 12 if with_bars else None, where,
        ),
        at_most(
            f"{case.network.name}: widest half interval of that sweep", 100 * widest, "points",
            2 if with_bars else None, where,
        ),
        at_least(
            f"{case.network.name}: points of that sweep whose interval holds the exact value",
            100 * held, "%", 93 if with_bars else None, where,
        ),
    ]  # fmt: skip


def _holds(point: Sensitivity, exact: float) -> bool:
    return point.quality.low - 1e-9 <= exact <= point.quality.high + 1e-9


def _limit_rows(case: Case, moves: Sequence[Move], conditions: str) -> list[Row]:
    """How near the exact answers come to the bare matrix products at this machine's peak."""
    peak = _peak()
    rows = []
    macs = layer_macs(case.network)
    kept = [m for m in moves if m.kept]
    behind = {move.target: _macs_behind(case, move.target, macs) for move in kept}
    limits = [behind[move.target] * len(case.gauge.split) / peak for move in kept]
    firsts = _by_target(kept, lambda m: m.naive / (behind[m.target] * case.gauge.looks[0] / peak))
    rows.append(
        at_least(
            f"{case.network.name}, channels: the physical limit of a first answer, slowest target",
            min(firsts.values()),
            "x",
            None,
            f"{conditions}, dense MACs of the layers behind the cut at {peak / 1e9:.0f} GMAC/s",
        )
    )
    rows.append(
        at_least(
            f"{case.network.name}, channels: the physical limit of exact answers, all targets",
            sum(m.naive for m in kept) / sum(limits), "x", None,
            f"{conditions}, dense MACs of the layers behind the cut at {peak / 1e9:.0f} GMAC/s",
        )
    )  # fmt: skip
    rows.append(
        at_least(
            f"{case.network.name}, channels: share of that limit reached",
            100 * sum(limits) / sum(m.exact for m in kept), "%", None,
            f"{conditions}; above 100% because the cut also makes the layers smaller",
        )
    )  # fmt: skip
    return rows


def _macs_behind(case: Case, target: str, macs: dict[str, int]) -> int:
    """Dense MACs of the layers from the first one that reads the target's channels."""
    program = case.gauge.program
    readers = [part.module for part in case.network.group(target).slices if part.side == "in"]
    cut = min(program.first_step(name) for name in readers)
    return sum(count for name, count in macs.items() if name and program.first_step(name) >= cut)


def _peak() -> float:
    """Multiply-accumulates a second of a large matrix product, the best of several."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    return 1024**3 / min(seconds(lambda: a @ b)[0] for _ in range(20))


def _by_target(moves: Sequence[Move], of: Callable[[Move], float]) -> dict[str, float]:
    names = dict.fromkeys(move.target for move in moves)
    return {name: statistics.median(of(m) for m in moves if m.target == name) for name in names}


def _total(moves: Sequence[Move]) -> float:
    return sum(m.naive for m in moves) / sum(m.exact for m in moves)


if __name__ == "__main__":
    raise SystemExit(main())

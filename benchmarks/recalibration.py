"""What measuring BatchNorm's statistics anew brings by itself: ``python -m benchmarks.recalibration``.

Channels are removed from every group alike and nothing is trained afterwards. digits-cnn is trained anew with four
seeds and loses its smallest channels (L1) at four ratios; fashion-resnet is the sample as it is and loses channels
by chance, with four seeds, at the same ratios. Each case compares the accuracy on all evaluation examples before
and after recalibration on calibration examples. Writes benchmarks/results/recalibration.json.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

import sample_models
from analysis.importance.registry import score
from analysis.importance.scores import Scores
from analysis.measure.quality import evaluate, headline
from analysis.network import Network
from analysis.pruning.groups import with_groups
from analysis.pruning.plan import uniform_plan
from analysis.pruning.selection import select
from analysis.recovery.pruned import begin_whole
from analysis.recovery.recalibrate import recalibrate
from analysis.sources import Opened
from analysis.tracing import trace
from benchmarks.rows import Row, at_least, publish
from sample_models.catalog import BY_NAME
from sample_models.datasets import digits_training
from sample_models.train import train

SEEDS = (0, 1, 2, 3)
RATIOS = (0.2, 0.3, 0.4, 0.5)
BAR = 15  # of the 16 cases


def trained(name: str, opened: Opened, seed: int) -> Network:
    """A digits network trained anew."""
    spec = BY_NAME[name]
    task = opened.dataset.task
    model = train(
        replace(spec, recipe=replace(spec.recipe, seed=seed)), task, digits_training().fit, report=False
    )
    return with_groups(trace(model, opened.network.example_input, name))


def accuracies(opened: Opened, network: Network, scores: Scores, ratio: float) -> tuple[float, float]:
    """Accuracy of the pruned network, and of it recalibrated, in percent."""
    dataset = opened.dataset
    selection = select(network, uniform_plan(network, scores.criterion, "channel", ratio), scores)
    pruned = begin_whole(network, dataset).without(selection)
    found = [
        headline(evaluate(each, dataset.evaluation, dataset.task)).value
        for each in (pruned.network, recalibrate(pruned).network)
    ]
    return 100 * found[0], 100 * found[1]


def cases(name: str) -> Iterator[tuple[int, Network, Scores]]:
    """The networks of a name, one for each seed, each with scores that say which channels go."""
    opened = sample_models.load(name)
    for seed in SEEDS:
        if name == "digits-cnn":
            network = trained(name, opened, seed)
            yield seed, network, score(network, "l1")
        else:
            yield seed, opened.network, score(opened.network, "random", seed=seed)


def rows(name: str, how: str) -> list[Row]:
    """A row for each case, and how many of them recalibration improves."""
    opened = sample_models.load(name)
    found: list[Row] = []
    improved = 0
    for seed, network, scores in cases(name):
        for ratio in RATIOS:
            before, after = accuracies(opened, network, scores, ratio)
            improved += after > before
            what = f"{name}, seed {seed}, {ratio:.0%} of the channels: points gained"
            found.append(
                at_least(what, after - before, "points", None, f"{before:.1f}% to {after:.1f}%, {how}")
            )
    total = len(found)
    summary = at_least(
        f"{name}: cases of {total} that recalibration alone improves", improved, "cases", BAR, how
    )
    return [summary, *found]


def main() -> None:
    """Measure, print, write."""
    torch.set_num_threads(1)
    publish(
        rows("digits-cnn", "four trainings, smallest channels by L1 removed")
        + rows("fashion-resnet", "the sample, channels removed by chance"),
        "recalibration",
    )


if __name__ == "__main__":
    main()

"""One slider move, against the loop a user would write: ``python -m benchmarks.slider``.

The naive loop copies the network, prunes it with torch-pruning (channels) or ``torch.nn.utils.prune``
(weights), and evaluates it at batch 256. Both sides run in turn in this process on one thread, and
every figure is the median over several targets. Writes benchmarks/results/slider.json.
"""

from __future__ import annotations

import copy
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch_pruning as tp
from torch import nn
from torch.nn.utils import prune as torch_prune

import sample_models
from analysis.importance import score
from analysis.measure import measure
from analysis.measure.quality import evaluate
from analysis.network import Network
from analysis.pruning.plan import Granularity, make_plan, targets
from analysis.pruning.prune import prune
from sample_models.architectures import build
from sample_models.catalog import BY_NAME

RESULTS = Path(__file__).parent / "results" / "slider.json"
IMAGES = 1000  # what the app measures on by default
RATIO = 0.3


def naive_channels(module: nn.Module, example: torch.Tensor, layer: str) -> nn.Module:
    """What torch-pruning's tutorial does for one layer."""
    model = copy.deepcopy(module)
    graph = tp.DependencyGraph().build_dependency(model, example, verbose=False)
    target = model.get_submodule(layer)
    scores = target.weight.detach().abs().flatten(1).sum(dim=1)
    drop = scores.argsort()[: int(RATIO * len(scores))].tolist()
    group = graph.get_pruning_group(target, graph.get_pruner_of_module(target).prune_out_channels, drop)
    group.prune()
    return model


def naive_weights(module: nn.Module, example: torch.Tensor, layer: str) -> nn.Module:
    """What PyTorch's pruning tutorial does for one layer."""
    model = copy.deepcopy(module)
    torch_prune.l1_unstructured(model.get_submodule(layer), "weight", RATIO)
    return model


@torch.no_grad()
def naive_evaluation(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Batches of 256, as most loops have it."""
    model.eval()
    return torch.cat([model(batch) for batch in inputs.split(256)])


def main() -> int:
    """Measure every sample and write the table."""
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for name in sample_models.names():
        sample = sample_models.load(name)
        module = build(BY_NAME[name].config).eval()
        module.load_state_dict(_weights(sample.network))
        for granularity in ("channel", "weight"):
            rows += _rows(sample, module, granularity)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n")
    for row in rows:
        met = "" if row["met"] is None else "  met" if row["met"] else "  MISSED"
        print(f"{row['what']:62} {row['value']:8.2f} {row['unit']}{met}")
    return 0


def _rows(sample: sample_models.Sample, module: nn.Module, granularity: Granularity) -> list[dict[str, Any]]:
    network, task = sample.network, sample.dataset.task
    split = sample.dataset.evaluation.sample(IMAGES)
    scores = score(network, "l1")
    dense = measure(network, split, task)
    naive = naive_channels if granularity == "channel" else naive_weights
    example = network.example_input
    ours, theirs, whole = [], [], []
    for target in targets(network, granularity):
        plan = make_plan(network, "l1", granularity, {target: RATIO})
        ours.append(_seconds(lambda plan=plan: evaluate(prune(network, plan, scores), split, task)))
        theirs.append(_seconds(lambda t=target: naive_evaluation(naive(module, example, t), split.inputs)))
        whole.append(
            _seconds(lambda plan=plan: measure(prune(network, plan, scores), split, task, dense=dense))
        )
    conditions = f"{len(split)} examples, 1 thread, ratio {RATIO}, median of {len(ours)} targets"
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    return [
        _row(f"{network.name}, {granularity}s: accuracy after a move, naive / ours", ratio, "x", None, conditions),
        _row(
            f"{network.name}, {granularity}s: all numbers after a move, slowest target",
            max(whole), "s", 1.0, conditions.replace("median", "slowest"),
        ),
    ]  # fmt: skip


def _row(what: str, value: float, unit: str, bar: float | None, conditions: str) -> dict[str, Any]:
    met = None if bar is None else value <= bar
    return {
        "what": what, "value": round(value, 3), "unit": unit, "bar": bar, "met": met, "conditions": conditions,
    }  # fmt: skip


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _weights(network: Network) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.module.state_dict().items()}


if __name__ == "__main__":
    raise SystemExit(main())

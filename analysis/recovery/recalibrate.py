"""Recalibration: the means and variances that BatchNorm subtracts and divides by, measured anew."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from analysis.errors import PrunescopeError
from analysis.network import BATCH_NORM_TYPES, called_modules, replace_modules
from analysis.recovery.lockstep import Mended, Progress, Replaced, some_inputs
from analysis.recovery.meeting import given
from analysis.recovery.pruned import Pruned


@dataclass(frozen=True)
class Recalibration:
    """How many examples the statistics are measured on, at most."""

    examples: int = 2048


@torch.no_grad()
def recalibrate(
    pruned: Pruned,
    settings: Recalibration = Recalibration(),
    progress: Progress = lambda share: None,
) -> Mended:
    """Measure each BatchNorm's statistics anew, in the pruned network.

    Training left each BatchNorm the mean and variance of what it read in the dense network; behind removed
    channels it reads something else (Li et al. 2020, "EagleEye"). All examples count as one batch: the mean and,
    as in training, the unbiased variance (n - 1) over examples and positions. BatchNorms are measured in order,
    each behind those measured before it, which answer with their new statistics.

    Raises
    ------
    PrunescopeError
        If the network has no BatchNorm with statistics of its own.
    """
    network = pruned.network
    calls = Counter(str(n.target) for n in network.module.graph.nodes if n.op == "call_module")
    norms = [
        name
        for name, module in called_modules(network.module)
        if isinstance(module, BATCH_NORM_TYPES) and module.running_mean is not None
    ]
    if not norms:
        raise PrunescopeError(
            f"{network.name} has no BatchNorm, so that there are no statistics to measure anew. Choose another method."
        )
    left = {name: "it is called several times" for name in norms if calls[name] > 1}
    walk = _Measuring(pruned, [name for name in norms if name not in left], progress)
    walk.run(some_inputs(pruned, settings.examples))
    return Mended(replace_modules(network, walk.changed), tuple(walk.changed), left)


class _Measuring(Replaced):
    """Runs the network, and gives each BatchNorm the statistics of what it is about to read."""

    def __init__(self, pruned: Pruned, norms: list[str], progress: Progress) -> None:
        super().__init__(pruned.network)
        self.norms, self.progress = norms, progress

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target in self.norms:
            values: Tensor = args[0]
            by_channel = values.double().movedim(1, -1).flatten(0, -2)
            measured = given(self.submodules[target], "running_mean", by_channel.mean(0))
            self.changed[target] = given(measured, "running_var", by_channel.var(0))
            self.progress((self.norms.index(target) + 1) / len(self.norms))
        return super().call_module(target, args, kwargs)

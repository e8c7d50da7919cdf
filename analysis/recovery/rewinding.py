"""Lottery-ticket rewinding: the weights that are left go back to an earlier checkpoint after each cut.

Frankle & Carbin 2019, "The lottery ticket hypothesis", and Frankle et al. 2020, "Linear mode connectivity and the
lottery ticket hypothesis", go back to the beginning, or nearly the beginning, of training. How a loaded network
began is not known: the earliest checkpoint there is are its loaded weights.
"""

from __future__ import annotations

from dataclasses import replace

from analysis.network import Network
from analysis.pruning.selection import Selection
from analysis.recovery.fine_tune import fine_tune
from analysis.recovery.pruned import Pruned
from analysis.recovery.recipe import Recipe
from analysis.recovery.training import Progress


def checkpoint(
    start: Pruned, recipe: Recipe, epochs: int, *, progress: Progress = lambda share: None
) -> Network:
    """The dense network after some epochs of training on; as it was loaded after none."""
    network = start.dense
    if epochs == 0:
        return network
    dense = replace(start, network=network, selection=Selection())
    for epoch in fine_tune(dense, replace(recipe, epochs=epochs, patience=0), progress=progress):
        network = epoch.now
    return replace(network, groups=start.dense.groups)

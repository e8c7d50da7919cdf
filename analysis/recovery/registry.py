"""Recovery without training: the list of methods. A new one is a function in a file of its own and an entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from analysis.recovery.compensate import compensate
from analysis.recovery.lockstep import Mended, Progress
from analysis.recovery.merge import merge
from analysis.recovery.pruned import Pruned
from analysis.recovery.recalibrate import recalibrate
from analysis.recovery.reconstruct import reconstruct

Run = Callable[[Pruned, Progress], Mended]


@dataclass(frozen=True)
class Method:
    """A way to recover in seconds: `run` gives a new network and leaves what it is given as it is.

    `run` raises :class:`analysis.errors.PrunescopeError` where the method does not apply. `name` is what a step of
    recovery is called.
    """

    name: str
    sentence: str
    run: Run

    @property
    def label(self) -> str:
        """The name with a capital."""
        return self.name.capitalize()


METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method(
            "recalibration",
            "Measures anew the means and variances that BatchNorm subtracts and divides by.",
            lambda pruned, progress: recalibrate(pruned, progress=progress),
        ),
        Method(
            "bias compensation",
            "Adds to each layer's bias what its answers have lost on average.",
            lambda pruned, progress: compensate(pruned, progress=progress),
        ),
        Method(
            "merging",
            "Folds each removed channel into the channel left that is most like it.",
            lambda pruned, progress: merge(pruned, progress=progress),
        ),
        Method(
            "reconstruction",
            "Solves the weights left of each layer, so that it answers what it answered in the dense network.",
            lambda pruned, progress: reconstruct(pruned, progress=progress),
        ),
    )
}

CHAINS: tuple[tuple[str, ...], ...] = (
    *((name,) for name in METHODS),
    ("bias compensation", "recalibration"),
    ("merging", "recalibration"),
    ("reconstruction", "recalibration"),
)

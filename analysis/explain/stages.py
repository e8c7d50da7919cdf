"""Progress of work that comes in stages."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float], None]


class Stages:
    """Shares out progress to `count` stages of about equal length; what `progress` raises ends the work."""

    def __init__(self, progress: Progress, count: int) -> None:
        self._progress, self._count, self._done = progress, count, 0

    def report(self, share: float) -> None:
        """How much of the stage in hand is done."""
        self._progress(min(1.0, (self._done + share) / self._count))

    def finish(self, stages: int = 1) -> None:
        """The stage in hand is done, or as many as `stages`."""
        self._done += stages
        self.report(0.0)

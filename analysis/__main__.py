"""``python -m analysis``: the commands, wired to the sample networks."""

from __future__ import annotations

import sample_models
from analysis.commands import main
from analysis.datasets import Dataset
from analysis.network import Network


def open_source(source: str) -> tuple[Network, Dataset]:
    """The network and data of a sample's name."""
    sample = sample_models.load(source)
    return sample.network, sample.dataset


if __name__ == "__main__":
    raise SystemExit(main(open_source))

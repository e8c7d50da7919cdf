"""Every export of every network, loaded back and compared: ``python -m benchmarks.exports [FORMAT ...]``.

The samples and the zoo, dense and with half of every group and of every layer's weights gone, in each format (all if
none is named). ONNX of the whole zoo alone takes minutes. Writes benchmarks/results/exports.json.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

import sample_models
from analysis.errors import ExportError
from analysis.export import FORMATS, Shipment, checked
from benchmarks.rows import Row, at_most, publish
from sample_models.catalog import BY_NAME
from tests.export.shipments import GRANULARITIES, dataset_of, plan_of, shipped
from tests.zoo.judged import task_of, tiny_split
from tests.zoo.networks import ZOO
from tests.zoo.opened import from_module

EXAMPLES = 500


def shipments() -> Iterator[tuple[str, Shipment]]:
    """Every network in every way it is pruned, with what it is called."""
    for name in (*BY_NAME, *(network.name for network in ZOO)):
        if name in BY_NAME:
            opened = sample_models.load(name)
            network = opened.network
            data = replace(opened.dataset, evaluation=opened.dataset.evaluation.sample(EXAMPLES))
        else:
            network, data = from_module(name), dataset_of(tiny_split(name), task_of(name))
        for granularity in GRANULARITIES:
            yield f"{name}, {granularity}", shipped(network, data, plan_of(network, granularity))


def main(kinds: list[str]) -> None:
    worst = dict.fromkeys(kinds, (0.0, ""))
    refused: dict[str, list[str]] = {kind: [] for kind in kinds}
    count = 0
    for what, shipment in shipments():
        count += 1
        for kind in kinds:
            try:
                found = checked(FORMATS[kind], shipment)
            except ExportError as error:
                refused[kind].append(what)
                print(f"{what}, {kind}: {error}")
                continue
            worst[kind] = max(worst[kind], (found.difference / found.allowed, what))
        print(what, flush=True)
    rows: list[Row] = []
    for kind in kinds:
        share, where = worst[kind]
        conditions = f"{count} networks and ways; the largest is {where or 'of no network'}"
        rows.append(at_most(f"{kind}: largest difference", share, "of what is allowed", 1, conditions))
        rows.append(
            at_most(f"{kind}: refused", len(refused[kind]), "", 0, ", ".join(refused[kind]) or "none")
        )
    publish(rows, "exports")


if __name__ == "__main__":
    main(sys.argv[1:] or list(FORMATS))

"""Networks on their way out, and a process in which nothing but torch can be imported."""

from __future__ import annotations

import subprocess
import sys
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import cast

from analysis.datasets import Dataset, Split
from analysis.export.shipment import Shipment
from analysis.importance.registry import score
from analysis.measure.measurement import Numbers, measure
from analysis.measure.size import Size, size
from analysis.network import Network
from analysis.pruning.plan import Plan, uniform_plan
from analysis.pruning.prune import remove
from analysis.pruning.selection import select

GRANULARITIES = ("dense", "channel", "weight")


def dataset_of(split: Split, task) -> Dataset:
    return Dataset("noise", task, split, split)


def plan_of(network: Network, granularity: str, ratio: float = 0.5) -> Plan:
    """Every target of a granularity, or of "both", cut alike; nothing cut if it is "dense"."""
    wanted = {"dense": (), "both": ("channel", "weight")}.get(granularity, (granularity,))
    plans = [uniform_plan(network, "l1", each, ratio) for each in wanted]
    return Plan(network.name, "l1", tuple(cut for plan in plans for cut in plan.cuts))


class _SizeAlone:
    """Numbers of which the size is measured when somebody asks for it."""

    def __init__(self, network: Network) -> None:
        self._network = network

    @cached_property
    def size(self) -> Size:
        return size(self._network)


def shipped(network: Network, dataset: Dataset, plan: Plan, *, measured: bool = False) -> Shipment:
    """The pruned network on its way out; formats read of the measurements the size alone, the card all."""
    selection = select(network, plan, score(network, plan.criterion) if plan.cuts else None)
    pruned = remove(network, selection)
    numbers = [cast(Numbers, _SizeAlone(each)) for each in (network, pruned)]
    if measured:
        dense = measure(network, dataset.evaluation, dataset.task)
        after = measure(pruned, dataset.evaluation, dataset.task, dense=dense)
        numbers = [dense, dense if plan.is_dense else after]
    return Shipment(network, pruned, plan, selection, None, dataset, dataset.evaluation, *numbers)


_ONLY_TORCH = """
import contextlib, io, pathlib, runpy, sys, traceback, warnings
barred = {"numpy", "safetensors", "zstandard", "analysis", "tests", "scipy", "onnx"}

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in barred:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Finder())
warnings.simplefilter("ignore")
import torch
for line in sys.stdin:
    folder, original = line.rstrip("\\n").split("\\t")
    sys.modules.pop("network", None)
    sys.path.insert(0, folder)
    sys.argv = ["reproduce.py", original, str(pathlib.Path(folder) / "pruned.pt")]
    said, code = io.StringIO(), 0
    try:
        with contextlib.redirect_stdout(said):
            runpy.run_path(folder + "/reproduce.py", run_name="__main__")
    except SystemExit as end:
        code = end.code
    except Exception:
        code = traceback.format_exc()
    sys.path.remove(folder)
    print(repr((code, said.getvalue())), flush=True)
"""


class OnlyTorch:
    """Runs ``reproduce.py`` of one folder after another, where importing anything but torch fails."""

    def __enter__(self) -> OnlyTorch:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _ONLY_TORCH],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd="/",
        )
        return self

    def __exit__(
        self, _kind: type | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def reproduce(self, folder: Path, original: Path) -> tuple[object, str]:
        """How the script ended (0, 1, or what it died of), and what it said; the result is ``pruned.pt``."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(f"{folder}\t{original}", file=self.process.stdin, flush=True)
        code, said = eval(self.process.stdout.readline())
        return code, said


def write_into(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder

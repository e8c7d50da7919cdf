"""From two uploaded files to sliders that can be dragged: ``python -m benchmarks.opening``.

Everything the app does in between runs in this process on one thread: reading the files, following and
verifying the groups, measuring the dense network, calibrating the gauge, the console's first data. Beside
it stands what torch needs to load the same file, which executes pickles and finds no groups. Writes
benchmarks/results/opening.json.
"""

from __future__ import annotations

import io

import numpy as np
import torch
from torch import Tensor, nn

from analysis.importance import score
from analysis.live import Gauge
from analysis.measure import measure
from analysis.pruning.plan import targets
from analysis.sources import Files, Settings, open_files
from benchmarks.rows import Row, at_most, publish, seconds
from ui.console_data import base

IMAGES = 1000  # what the app measures on unless told otherwise


class Block(nn.Module):
    """The basic block of He et al. 2016."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Identity()
        if stride > 1 or inputs != outputs:
            convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(convolution, nn.BatchNorm2d(outputs))  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + self.shortcut(x))


def resnet18() -> nn.Module:
    """ResNet-18 for 1,000 classes: 11,689,512 parameters."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
    ]
    layers.append(nn.MaxPool2d(3, 2, 1))
    width = 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(width, outputs, stride), Block(outputs, outputs, 1)]
        width = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def chain(length: int = 150) -> nn.Module:
    """As many convolutions as there are sliders to draw."""
    layers: list[nn.Module] = []
    width = 3
    for _ in range(length):
        layers += [nn.Conv2d(width, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU()]
        width = 24
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10))


def opening(
    name: str, module: nn.Module, classes: int, size: int, images: int, bar: float | None
) -> list[Row]:
    """The rows of one network on `images` images of `size` x `size`."""
    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((images * 5 // 4, 3, size, size), dtype=np.float32)
    data = io.BytesIO()
    np.savez(data, x=inputs, y=generator.integers(classes, size=len(inputs)))
    example = torch.from_numpy(inputs[:2])
    batch = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(module.eval(), (example,), dynamic_shapes=batch)
    saved = io.BytesIO()
    torch.export.save(program, saved)
    files = Files(saved.getvalue(), data.getvalue(), Settings("network.pt2", "data.npz"))
    naive, _ = seconds(lambda: torch.export.load(io.BytesIO(files.network)).module())
    opened_in, opened = seconds(lambda: open_files(files))
    network = opened.network

    def ready() -> int:
        split = opened.dataset.evaluation.sample(IMAGES)
        dense = measure(network, split, opened.dataset.task)
        Gauge(network, split, opened.dataset.task, dense=dense.evaluation)
        return len(base(network, score(network, "l1"), "channel").rows)

    ready_in, rows = seconds(ready)
    where = (
        f"{network.parameters():,} parameters, {len(targets(network, 'channel'))} groups of channels, "
        f"{len(opened.dataset.evaluation):,} images of {size}x{size}, 1 thread"
    )
    assert rows == len(targets(network, "channel"))
    return [
        at_most(f"{name}: from files to sliders", opened_in + ready_in, "s", bar, where),
        at_most(f"{name}: of that, opening and verifying", opened_in, "s", None, where),
        at_most(f"{name}: torch.export.load of the same file alone", naive, "s", None, where),
    ]


def main() -> None:
    """Measure, print, write."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = opening("ResNet-18, 64x64", resnet18(), 1000, 64, 1000, 10)
    rows += opening("ResNet-18, 224x224", resnet18(), 1000, 224, 100, None)
    rows += opening("150 convolutions, 16x16", chain(), 10, 16, 1000, 20)
    publish(rows, "opening")


if __name__ == "__main__":
    main()

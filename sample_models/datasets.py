"""The data of the sample networks, loaded without any download.

digits     scikit-learn, 1,797 images of 8x8 (Alpaydin & Kaynak 1998, UCI; CC BY 4.0)
fashion    Fashion-MNIST, 28x28 (Xiao, Rasul & Vollgraf 2017, MIT); shipped beside this file:
           the 10,000 test images and 10,000 of the 60,000 training images
auto-mpg   mlxtend, 392 cars with 7 features (Quinlan 1993, UCI; CC BY 4.0)
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from analysis.datasets import Dataset, Split
from analysis.errors import DataError
from analysis.tasks import CLASSIFICATION, REGRESSION

FASHION_FOLDER = Path(__file__).parent / "data" / "fashion-mnist"
FASHION_SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FASHION_CLASSES = (
    "T-shirt",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
FASHION_WHITE, DIGITS_WHITE = 255, 16  # what a full pixel is in the files
FASHION_MEAN, FASHION_STD = 0.2860, 0.3530  # of the 60,000 training images, after division by 255
DIGITS_MEAN, DIGITS_STD = 0.305, 0.376  # of the training images, after division by 16
CAR_FEATURES = (
    "cylinders",
    "displacement",
    "horsepower",
    "weight",
    "acceleration",
    "model year",
    "origin",
)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What training sees: `fit` is learned from, `validation` picks hyperparameters, `test` is met once."""

    fit: Split
    validation: Split
    test: Split


def digits_training() -> TrainingData:
    """1,077 / 270 / 450 images, stratified by class, seed 0."""
    from sklearn.datasets import load_digits  # slow to import, as below: workers on other data do without

    raw = load_digits()
    images = torch.tensor(raw.images / DIGITS_WHITE, dtype=torch.float32)[:, None]
    images = (images - DIGITS_MEAN) / DIGITS_STD
    labels = torch.tensor(raw.target, dtype=torch.int64)
    rest, test = _split(np.arange(len(labels)), 450, labels)
    fit, validation = _split(rest, 270, labels)
    return TrainingData(
        Split(images[fit], labels[fit], "the 1,077 digits training images"),
        Split(images[validation], labels[validation], "the 270 digits validation images"),
        Split(images[test], labels[test], "the 450 digits test images"),
    )


def auto_mpg_training() -> TrainingData:
    """236 / 58 / 98 cars, seed 0; features standardised by the training cars' mean and deviation."""
    return _cars()[0]


def fashion_training(folder: Path = FASHION_SYSTEM_FOLDER) -> TrainingData:
    """All 60,000 training images (the last 6,000 double as validation) and the 10,000 test images.

    Raises
    ------
    DataError
        If the full data set is not in `folder`.
    """
    names = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
    if not all((folder / name).exists() for name in names):
        raise DataError(
            f"The 60,000 training images are not in {folder}. Install Debian's package "
            "dataset-fashion-mnist, or name the folder of the four IDX files with --data."
        )
    images = _normalise_fashion(read_idx(folder / names[0]))
    labels = torch.from_numpy(read_idx(folder / names[1])).long()
    return TrainingData(
        Split(images, labels, "all 60,000 Fashion-MNIST training images"),
        Split(images[-6000:], labels[-6000:], "the last 6,000 Fashion-MNIST training images"),
        _fashion_test(),
    )


@cache
def digits() -> Dataset:
    """Digits for the app: test images to evaluate, training images to calibrate."""
    parts = digits_training()
    return Dataset(
        name="digits",
        task=CLASSIFICATION,
        evaluation=parts.test,
        calibration=parts.fit,
        class_names=tuple(str(digit) for digit in range(10)),
        offset=DIGITS_MEAN,
        scale=DIGITS_STD,
        normalisation=_pixels_in_words(DIGITS_WHITE, DIGITS_MEAN, DIGITS_STD),
    )


@cache
def fashion() -> Dataset:
    """Fashion-MNIST for the app, from the files shipped beside this module."""
    images = _normalise_fashion(read_idx(FASHION_FOLDER / "train-10k-images-idx3-ubyte.gz"))
    labels = torch.from_numpy(read_idx(FASHION_FOLDER / "train-10k-labels-idx1-ubyte.gz")).long()
    return Dataset(
        name="Fashion-MNIST",
        task=CLASSIFICATION,
        evaluation=_fashion_test(),
        calibration=Split(images, labels, "10,000 of the 60,000 Fashion-MNIST training images"),
        class_names=FASHION_CLASSES,
        offset=FASHION_MEAN,
        scale=FASHION_STD,
        normalisation=_pixels_in_words(FASHION_WHITE, FASHION_MEAN, FASHION_STD),
    )


@cache
def auto_mpg() -> Dataset:
    """auto-mpg for the app: fuel economy of 98 test cars from 7 features."""
    parts, mean, std = _cars()
    return Dataset(
        name="auto-mpg",
        task=REGRESSION,
        evaluation=parts.test,
        calibration=parts.fit,
        feature_names=CAR_FEATURES,
        target_unit="miles per gallon",
        normalisation=_cars_in_words(mean, std),
    )


DATASETS: dict[str, Callable[[], Dataset]] = {
    "digits": digits,
    "fashion": fashion,
    "auto-mpg": auto_mpg,
}


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array of a gzipped IDX file (LeCun's MNIST format): big-endian sizes, then bytes."""
    raw = gzip.decompress(path.read_bytes())
    dims = raw[3]
    shape = struct.unpack(f">{dims}I", raw[4 : 4 + 4 * dims])
    return np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * dims).reshape(shape).copy()


def write_idx(path: Path, values: np.ndarray) -> None:
    """Write a uint8 array as a gzipped IDX file, byte for byte reproducible."""
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes(), 9, mtime=0))


def ship_fashion(source: Path = FASHION_SYSTEM_FOLDER, target: Path = FASHION_FOLDER) -> None:
    """Make the shipped files from the full Fashion-MNIST: all test images, 1,000 training images a class."""
    target.mkdir(parents=True, exist_ok=True)
    for kind in ("images-idx3", "labels-idx1"):
        write_idx(target / f"t10k-{kind}-ubyte.gz", read_idx(source / f"t10k-{kind}-ubyte.gz"))
    labels = read_idx(source / "train-labels-idx1-ubyte.gz")
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == c)[:1000] for c in range(10)]))
    images = read_idx(source / "train-images-idx3-ubyte.gz")
    write_idx(target / "train-10k-images-idx3-ubyte.gz", images[chosen])
    write_idx(target / "train-10k-labels-idx1-ubyte.gz", labels[chosen])


def _fashion_test() -> Split:
    images = _normalise_fashion(read_idx(FASHION_FOLDER / "t10k-images-idx3-ubyte.gz"))
    labels = torch.from_numpy(read_idx(FASHION_FOLDER / "t10k-labels-idx1-ubyte.gz")).long()
    return Split(images, labels, "the 10,000 Fashion-MNIST test images")


def _pixels_in_words(white: int, mean: float, std: float) -> str:
    return (
        f"Pixels from 0 to {white} are divided by {white}, then reduced by the mean {mean:g} and divided by the standard "
        f"deviation {std:g}."
    )


def _cars() -> tuple[TrainingData, Tensor, Tensor]:
    """The cars, and the mean and standard deviation of each feature that they are standardised by."""
    from mlxtend.data import autompg_data

    features, miles = autompg_data()
    x = torch.tensor(features[:, :7], dtype=torch.float32)
    y = torch.tensor(miles, dtype=torch.float32)
    rest, test = _split(np.arange(len(y)), 98)
    fit, validation = _split(rest, 58)
    mean, std = x[fit].mean(dim=0), x[fit].std(dim=0)
    x = (x - mean) / std
    parts = TrainingData(
        Split(x[fit], y[fit], "the 236 training cars of auto-mpg"),
        Split(x[validation], y[validation], "the 58 validation cars of auto-mpg"),
        Split(x[test], y[test], "the 98 test cars of auto-mpg"),
    )
    return parts, mean, std


def _cars_in_words(mean: Tensor, std: Tensor) -> str:
    *first, last = (
        f"{m:.6g} and {s:.6g} of {name}"
        for name, m, s in zip(CAR_FEATURES, mean.tolist(), std.tolist(), strict=True)
    )
    return f"Each feature is reduced by its mean and divided by its standard deviation, which are {', '.join(first)}, and {last}."


def _normalise_fashion(images: np.ndarray) -> Tensor:
    """uint8 (N, 28, 28) to float32 (N, 1, 28, 28), zero mean and unit deviation."""
    pixels = torch.from_numpy(images).float().div_(FASHION_WHITE)[:, None]
    return (pixels - FASHION_MEAN) / FASHION_STD


def _split(indices: np.ndarray, held_out: int, labels: Tensor | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Seeded split of `indices` into (rest, held_out), stratified where `labels` are given."""
    from sklearn.model_selection import train_test_split

    stratify = None if labels is None else labels.numpy()[indices]
    rest, held = train_test_split(indices, test_size=held_out, random_state=0, stratify=stratify)
    return np.sort(rest), np.sort(held)


if __name__ == "__main__":
    ship_fashion()

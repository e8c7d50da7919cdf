"""The samples' data: splits that never overlap, normalisation, IDX files."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from mlxtend.data import autompg_data
from sklearn.datasets import load_digits

from analysis.datasets import Split
from analysis.errors import DataError
from sample_models import datasets
from sample_models.datasets import DATASETS, read_idx, write_idx

FULL = datasets.FASHION_SYSTEM_FOLDER
needs_full_fashion = pytest.mark.skipif(not FULL.exists(), reason=f"no full Fashion-MNIST in {FULL}")


def _examples(split: Split) -> list[bytes]:
    return [x.numpy().tobytes() for x in split.inputs]


@pytest.mark.parametrize(
    ("training", "sizes"),
    [(datasets.digits_training, (1077, 270, 450)), (datasets.auto_mpg_training, (236, 58, 98))],
)
def test_fit_validation_and_test_share_no_example(training, sizes):
    parts = training()
    splits = parts.fit, parts.validation, parts.test
    assert tuple(len(split) for split in splits) == sizes
    seen = [set(_examples(split)) for split in splits]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
    for split, size in zip(splits, sizes, strict=True):
        assert f"{size:,}" in split.origin


@pytest.mark.parametrize("name", ["digits", "auto-mpg"])
def test_evaluation_and_calibration_share_no_example(name):
    data = DATASETS[name]()
    assert not set(_examples(data.evaluation)) & set(_examples(data.calibration))


def test_together_the_digits_are_all_of_scikit_learns():
    parts, raw = datasets.digits_training(), load_digits()
    pixels = torch.cat([parts.fit.inputs, parts.validation.inputs, parts.test.inputs])
    labels = torch.cat([parts.fit.targets, parts.validation.targets, parts.test.targets])
    restored = ((pixels * datasets.DIGITS_STD + datasets.DIGITS_MEAN) * 16).round().long().flatten(1)
    found = sorted((*row, label) for row, label in zip(restored.tolist(), labels.tolist(), strict=True))
    expected = sorted(
        (*row, label) for row, label in zip(raw.data.astype(int).tolist(), raw.target.tolist(), strict=True)
    )
    assert found == expected


def test_digits_are_stratified_and_normalised_by_the_training_images():
    parts = datasets.digits_training()
    for split in (parts.fit, parts.validation, parts.test):
        share = torch.bincount(split.targets, minlength=10) / len(split)
        assert share.min() > 0.09 and share.max() < 0.11
    assert float(parts.fit.inputs.mean()) == pytest.approx(0, abs=0.005)
    assert float(parts.fit.inputs.std()) == pytest.approx(1, abs=0.005)


def test_together_the_cars_are_all_of_mlxtends():
    parts = datasets.auto_mpg_training()
    targets = torch.cat([parts.fit.targets, parts.validation.targets, parts.test.targets])
    assert sorted(targets.tolist()) == sorted(np.float32(autompg_data()[1]).tolist())


def test_cars_are_standardised_by_the_training_cars_alone():
    parts = datasets.auto_mpg_training()
    assert parts.fit.inputs.mean(dim=0).tolist() == pytest.approx([0] * 7, abs=1e-4)
    assert parts.fit.inputs.std(dim=0).tolist() == pytest.approx([1] * 7, abs=1e-4)
    assert parts.test.inputs.mean(dim=0).abs().max() > 0.01
    assert len(datasets.CAR_FEATURES) == parts.fit.inputs.shape[1] == 7


def test_data_sets_are_loaded_once():
    assert all(load() is load() for load in DATASETS.values())


@pytest.mark.parametrize("name", DATASETS)
def test_a_black_pixel_or_average_feature_is_the_baseline(name):
    data = DATASETS[name]()
    if data.is_image:
        assert float(data.evaluation.inputs.min()) == pytest.approx(data.baseline, abs=1e-6)
        brightest = float(data.evaluation.inputs.max()) * data.scale + data.offset
        assert brightest == pytest.approx(1, abs=1e-6)
    else:
        assert data.baseline == 0 and abs(float(data.calibration.inputs.mean())) < 1e-4


@pytest.mark.parametrize("name", ["digits", "fashion"])
def test_every_class_has_a_name_and_examples(name):
    data = DATASETS[name]()
    for split in (data.evaluation, data.calibration):
        assert split.targets.unique().tolist() == list(range(len(data.class_names))) == list(range(10))


def test_the_shipped_fashion_files_have_the_sizes_they_claim():
    data = datasets.fashion()
    assert data.evaluation.inputs.shape == data.calibration.inputs.shape == (10_000, 1, 28, 28)
    assert data.calibration.targets.bincount().tolist() == [1000] * 10
    assert data.evaluation.targets.bincount().tolist() == [1000] * 10
    assert float(data.calibration.inputs.mean()) == pytest.approx(0, abs=0.01)
    assert float(data.calibration.inputs.std()) == pytest.approx(1, abs=0.01)


@needs_full_fashion
def test_calibration_comes_from_the_training_file_and_evaluation_from_the_test_file():
    shipped, t10k = datasets.FASHION_FOLDER, "t10k-images-idx3-ubyte.gz"
    assert np.array_equal(read_idx(shipped / t10k), read_idx(FULL / t10k))
    labels = read_idx(FULL / "train-labels-idx1-ubyte.gz")
    counts = np.zeros(10, dtype=int)
    chosen = []  # the first 1,000 of each class, in the order of the file
    for i, label in enumerate(labels):
        if counts[label] < 1000:
            counts[label] += 1
            chosen.append(i)
    images = read_idx(FULL / "train-images-idx3-ubyte.gz")[chosen]
    assert np.array_equal(read_idx(shipped / "train-10k-images-idx3-ubyte.gz"), images)
    assert np.array_equal(read_idx(shipped / "train-10k-labels-idx1-ubyte.gz"), labels[chosen])
    test_labels = "t10k-labels-idx1-ubyte.gz"
    assert np.array_equal(read_idx(shipped / test_labels), read_idx(FULL / test_labels))


@pytest.mark.parametrize("shape", [(7,), (3, 28, 28), (2, 1, 4, 5), (0, 28, 28)])
def test_idx_files_round_trip(tmp_path, shape):
    values = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    write_idx(tmp_path / "values.gz", values)
    found = read_idx(tmp_path / "values.gz")
    assert found.dtype == np.uint8 and found.shape == shape
    assert np.array_equal(found, values)
    found += 1  # a copy that may be written to


def test_idx_files_are_reproducible_byte_for_byte(tmp_path, monkeypatch):
    values = np.random.default_rng(0).integers(256, size=(5, 28, 28), dtype=np.uint8)
    write_idx(tmp_path / "one.gz", values)
    monkeypatch.setattr("time.time", lambda: 12345.0)
    write_idx(tmp_path / "two.gz", values)
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()


def test_an_idx_file_is_laid_out_as_lecun_says(tmp_path):
    write_idx(tmp_path / "values.gz", np.array([[1, 2, 3], [4, 5, 255]]))
    raw = gzip.decompress((tmp_path / "values.gz").read_bytes())
    assert raw == bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255])


def fake_fashion(folder: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    """A folder of four IDX files with `images` for training and the first of them for testing."""
    folder.mkdir(exist_ok=True)
    write_idx(folder / "train-images-idx3-ubyte.gz", images)
    write_idx(folder / "train-labels-idx1-ubyte.gz", labels)
    write_idx(folder / "t10k-images-idx3-ubyte.gz", images[:5])
    write_idx(folder / "t10k-labels-idx1-ubyte.gz", labels[:5])
    return folder


def test_shipping_keeps_a_thousand_training_images_of_each_class(tmp_path):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 1010)).astype(np.uint8)
    images = np.arange(len(labels) * 4).astype(np.uint32).view(np.uint8)[: len(labels) * 4].reshape(-1, 2, 2)
    source = fake_fashion(tmp_path / "full", images, labels)
    datasets.ship_fashion(source, tmp_path / "shipped")
    kept = read_idx(tmp_path / "shipped" / "train-10k-labels-idx1-ubyte.gz")
    chosen = [i for i, label in enumerate(labels) if (labels[:i] == label).sum() < 1000]
    assert np.bincount(kept).tolist() == [1000] * 10
    assert np.array_equal(kept, labels[chosen])
    found = read_idx(tmp_path / "shipped" / "train-10k-images-idx3-ubyte.gz")
    assert np.array_equal(found, images[chosen])
    for kind in ("images-idx3", "labels-idx1"):
        name = f"t10k-{kind}-ubyte.gz"
        assert np.array_equal(read_idx(tmp_path / "shipped" / name), read_idx(source / name))


@pytest.mark.parametrize("present", [(), ("train-images-idx3-ubyte.gz",)])
def test_training_data_that_are_missing_name_the_folder_and_the_remedy(tmp_path, present):
    for name in present:
        write_idx(tmp_path / name, np.zeros((10, 28, 28)))
    with pytest.raises(DataError, match=f"{tmp_path}.*dataset-fashion-mnist.*--data"):
        datasets.fashion_training(tmp_path)

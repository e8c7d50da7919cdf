"""Networks grown from others: with the data of a sample, or with the files of the one they grew from."""

from __future__ import annotations

import copy
import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

import sample_models
from analysis.__main__ import open_source
from analysis.errors import NetworkError
from analysis.export import to_pt2
from analysis.network import Network, from_graph
from analysis.sources import (
    Files,
    Settings,
    grown,
    none_here,
    open_files,
    open_folder,
    read_folder,
    write_folder,
)
from tests.networks import load, randomise
from tests.test_sources import FEATURES, files, mlp, npz
from ui import library, services
from ui.shelf import Limits, Shelf, ShelfError

HISTORY = "c" * 32


def moved(network: Network) -> Network:
    """The network with other weights, as training leaves it."""
    module = copy.deepcopy(network.module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(0.9).add_(0.01)
    return dataclasses.replace(from_graph(network.name, module, network.example_input), groups=network.groups)


def written(given: Files, root) -> str:
    folder = root / given.name
    folder.mkdir(parents=True)
    write_folder(folder, given)
    return str(folder)


@pytest.mark.parametrize("name", sample_models.names())
def test_a_network_grown_from_a_sample_answers_as_it_was_kept_also_in_a_worker(name, tmp_path):
    sample = sample_models.load(name)
    trained = moved(sample.network)
    given = grown(name, to_pt2(trained), "group-lasso", name)
    opened = open_source(written(given, tmp_path))
    inputs = sample.dataset.evaluation.inputs[:20]
    with torch.no_grad():
        assert torch.equal(opened.network.module(inputs), trained.module(inputs))
    assert opened.network.layers == sample.network.layers
    assert [dataclasses.replace(g, deviation=0.0) for g in opened.network.groups] == [
        dataclasses.replace(g, deviation=0.0) for g in sample.network.groups
    ]
    assert opened.dataset.evaluation is sample.dataset.evaluation
    assert opened.network.name == given.name and given.name.startswith(f"{name}-group-lasso-")
    assert opened.siblings == (*(sample.siblings or (name,)), given.name)


def test_a_network_grown_from_files_has_their_data_and_settings():
    parent = files(mlp(1), npz(FEATURES, np.arange(90) % 2), task="regression")
    first = open_files(parent)
    trained = moved(first.network)
    given = grown(parent, to_pt2(trained), "l1", "net")
    opened = open_files(given)
    assert opened.dataset.task.name == "regression" and given.data == parent.data
    for split in ("evaluation", "calibration"):
        assert torch.equal(getattr(opened.dataset, split).inputs, getattr(first.dataset, split).inputs)
    with torch.no_grad():
        x = first.dataset.evaluation.inputs
        assert torch.equal(opened.network.module(x), trained.module(x))
    assert given.name.startswith("net-l1-") and given.name != parent.name


def test_growing_again_keeps_the_first_ones_data():
    once = grown("digits-mlp", to_pt2(moved(sample_models.load("digits-mlp").network)), "l1", "digits-mlp")
    twice = grown(once, once.network, "l2", "digits-mlp-l1")
    assert twice.settings.data_of == "digits-mlp" and twice.data == b""
    assert twice.name.startswith("digits-mlp-l1-l2-") and twice.name != once.name


def test_names_that_were_given_before_stay():
    """Settings without borrowed data are described as they always were."""
    settings = Settings("net.pt2", "x.npz", task="binary")
    assert settings.described() == {
        "network_file": "net.pt2", "data_file": "x.npz", "architecture": "", "task": "binary", "normalisation": "",
        "target": "",
    }  # fmt: skip
    assert Files(b"a", b"b", Settings("net.pt2", "x.npz")).name == "net-4c912d6e11bac6f0"
    borrowed = dataclasses.replace(settings, data_of="digits-cnn")
    assert Settings(**json.loads(json.dumps(borrowed.described()))) == borrowed


def test_a_network_of_another_shape_has_no_siblings_and_must_fit_the_data():
    module = randomise(nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10)))
    given = grown("digits-mlp", to_pt2(load(module, (1, 8, 8))), "l1", "other")
    assert open_files(given, here=sample_models.load).siblings == ()
    flat = load(randomise(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 10))), (6,))
    with pytest.raises(ValueError, match="reads inputs of shape"):
        open_files(grown("digits-mlp", to_pt2(flat), "l1", "flat"), here=sample_models.load)


def test_data_of_a_network_that_is_not_here_are_refused_in_words(tmp_path):
    given = grown("digits-mlp", mlp(), "l1", "net")
    given = dataclasses.replace(given, settings=dataclasses.replace(given.settings, data_of="gone"))
    with pytest.raises(NetworkError, match="'gone', whose data are used, is not here"):
        open_files(given, here=none_here)
    with pytest.raises(NetworkError, match="'gone'"):
        open_source(written(given, tmp_path))


def test_a_damaged_folder_is_refused(tmp_path):
    given = grown("digits-mlp", to_pt2(sample_models.load("digits-mlp").network), "l1", "digits-mlp")
    folder = tmp_path / given.name
    written(given, tmp_path)
    (folder / "network").write_bytes(given.network[:-1])
    with pytest.raises(NetworkError, match="damaged"):
        open_folder(folder, here=sample_models.load)
    (folder / "network").write_bytes(given.network)
    (folder / "source.json").write_text(
        (folder / "source.json").read_text().replace('digits-mlp"', 'digits-cnn"')
    )
    with pytest.raises(NetworkError, match="damaged"):
        read_folder(folder)


@pytest.fixture
def shelf(monkeypatch, tmp_path):
    shelf = Shelf(tmp_path / "uploads", Limits(networks=2, history_bytes=10**7, all_bytes=10**7))
    monkeypatch.setattr(services, "shelf", lambda: shelf)
    return shelf


def test_the_library_keeps_what_grows_within_the_limits(shelf):
    data = moved(sample_models.load("auto-mpg-mlp").network)
    kept = [library.grow(HISTORY, "auto-mpg-mlp", data, how) for how in ("l1", "l2", "elastic-net")]
    names = [opened.network.name for opened, _ in kept]
    assert [gone for _, gone in kept] == [(), (), (names[0],)]
    assert set(shelf.names(HISTORY)) == set(names[1:]) and shelf.names("d" * 32) == ()
    assert library.title(names[1]).startswith("auto-mpg-mlp-l2-") and len(library.title(names[1])) == 20
    shelf.note_use(HISTORY, names[2])
    again, _ = library.grow(HISTORY, names[2], data, "l1")
    assert library.files(again.network.name).settings.data_of == "auto-mpg-mlp"
    assert library.load(again.network.name).dataset.task.name == "regression"


def test_what_is_too_large_is_refused_and_nothing_kept(shelf, monkeypatch):
    monkeypatch.setattr(shelf, "limits", Limits(networks=2, history_bytes=1000, all_bytes=1000))
    data = sample_models.load("auto-mpg-mlp").network
    with pytest.raises(ShelfError, match="at most 1,000"):
        library.grow(HISTORY, "auto-mpg-mlp", data, "l1")
    assert shelf.names(HISTORY) == ()


def test_a_network_that_cannot_be_written_is_refused_in_words(shelf, monkeypatch):
    def fail(network):
        raise RuntimeError("no such operator\nand a long tale")

    monkeypatch.setattr(library, "to_pt2", fail)
    with pytest.raises(
        NetworkError, match=r"trained from digits-mlp cannot be written .*\(no such operator\)"
    ):
        library.grow(HISTORY, "digits-mlp", sample_models.load("digits-mlp").network, "l1")
    assert shelf.names(HISTORY) == ()


def test_what_grows_from_brought_files_has_their_data(shelf):
    parent, _ = library.bring(HISTORY, files(mlp(), npz(FEATURES, np.arange(90) % 3)))
    grown_from, _ = library.grow(HISTORY, parent.network.name, moved(parent.network), "group-lasso")
    assert torch.equal(grown_from.dataset.calibration.inputs, parent.dataset.calibration.inputs)
    assert grown_from.network.name.startswith("net-group-lasso-")

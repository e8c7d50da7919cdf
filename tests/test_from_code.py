"""The command line's door for code: what functions may return, and what is said of the others."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from analysis import from_code
from analysis.errors import NetworkError, PrunescopeError
from analysis.sources import stem_of

ROOT = Path(__file__).parents[1]
CODE = """
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from analysis.datasets import Dataset, Split
from analysis.tasks import CLASSIFICATION

def net():
    return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3)), torch.zeros(1, 6)

def arrays():
    x = np.random.default_rng(0).normal(size=(60, 6)).astype("float32")
    return x, np.arange(60) % 3

def tensors():
    x, y = arrays()
    return torch.from_numpy(x), torch.from_numpy(y)

def torch_dataset():
    return TensorDataset(*tensors())

def squeezed():
    class Squeezed(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 1)

        def forward(self, x):
            return self.fc(x).squeeze()

    return Squeezed(), torch.zeros(1, 6)

def loader():
    return DataLoader(torch_dataset(), batch_size=7)

def pairs():
    x, y = arrays()
    return [(a, b) for a, b in zip(x, y)]

def endless():
    x, y = arrays()
    while True:
        for a, b in zip(x, y):
            yield a, b

def ours():
    x, y = tensors()
    return Dataset("mine", CLASSIFICATION, Split(x[:40], y[:40], "forty"), Split(x[40:], y[40:], "twenty"))

def numbers():
    return 3, 4

def nothing():
    return None

def ragged():
    return [(np.zeros(i + 1), 0) for i in range(12)]

def broken():
    raise KeyError("planted")
"""


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A folder with the module `mycode`, and its functions by name."""
    (tmp_path / "mycode.py").write_text(textwrap.dedent(CODE))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "mycode", raising=False)

    def environment(model="net", data="ours"):
        named = {from_code.MODEL: f"mycode:{model}", from_code.DATA: f"mycode:{data}"}
        return named | {from_code.FOLDER: str(tmp_path)}

    yield environment
    sys.modules.pop("mycode", None)


def test_a_dataset_of_ours_is_taken_as_it_is(code):
    opened = from_code.open_code(code())
    assert stem_of(opened.network.name) == "net" and opened.card is None
    assert [layer.shape for layer in opened.network.layers] == [(12, 6), (3, 12)]
    assert [group.verdict for group in opened.network.groups] == ["exact", "refused"]
    assert (opened.dataset.name, len(opened.dataset.evaluation)) == ("mine", 40)


@pytest.mark.parametrize("data", ["arrays", "tensors", "torch_dataset", "loader", "pairs"])
def test_every_form_of_data_gives_the_same_examples(code, data):
    expected = from_code.open_code(code(data="arrays")).dataset
    found = from_code.open_code(code(data=data)).dataset
    for split in ("evaluation", "calibration"):
        torch.testing.assert_close(getattr(found, split).inputs, getattr(expected, split).inputs)
        assert torch.equal(getattr(found, split).targets, getattr(expected, split).targets)
    assert len(expected.evaluation) + len(expected.calibration) == 60
    assert expected.task.name == "classification"


def test_data_without_end_are_cut_off(code, monkeypatch):
    monkeypatch.setattr(from_code, "MAX_EXAMPLES", 50)
    dataset = from_code.open_code(code(data="endless")).dataset
    assert len(dataset.evaluation) + len(dataset.calibration) == 50


def test_the_name_is_the_same_each_time_and_follows_the_data(code):
    names = [from_code.open_code(code(data=data)).network.name for data in ("ours", "ours", "arrays")]
    assert names[0] == names[1] != names[2], "the seed is set, so that even fresh weights are the same"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "numbers"}, "--model mycode:numbers returns a tuple of int, int"),
        ({"model": "nothing"}, "returns a NoneType"),
        ({"model": "broken"}, "fails with KeyError: 'planted'"),
        ({"model": "missing"}, "has no attribute 'missing'"),
        ({"data": "nothing"}, "--data mycode:nothing returns a NoneType"),
        ({"data": "ragged"}, "no .x, y. pairs of equal shapes"),
        ({"data": "missing"}, "has no attribute 'missing'"),
    ],
)
def test_what_does_not_fit_is_said_with_what_would(code, changed, message):
    with pytest.raises(PrunescopeError, match=message) as caught:
        from_code.open_code(code(**changed))
    assert "must name a function that returns" in str(caught.value)


def test_an_answer_that_does_not_come_example_by_example_is_refused(code):
    with pytest.raises(NetworkError, match=r"let it end in squeeze\(-1\)"):
        from_code.open_code(code(model="squeezed", data="arrays"))


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({}, "--model is missing: name it as package.module:function"),
        ({from_code.MODEL: "mycode"}, "--model mycode: name it as"),
        ({from_code.MODEL: "no_such_module:net"}, "No module named 'no_such_module'"),
        ({from_code.MODEL: "mycode:net"}, "--data is missing"),
    ],
)
def test_a_name_is_a_module_and_a_function(code, named, message):
    with pytest.raises(PrunescopeError, match=message):
        from_code.open_code(named | {from_code.FOLDER: code()[from_code.FOLDER]})


def test_a_worker_opens_the_same_and_refuses_another(code):
    name = from_code.open_code(code()).network.name
    environment = {**os.environ, **code(), "OMP_NUM_THREADS": "1"}

    def inspect(source):
        command = [sys.executable, "-m", "analysis", "inspect", source, "--json"]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert json.loads(inspect(name).stdout)["network"] == name
    other = inspect(name[:-1] + "x")
    assert other.returncode == 2 and "the same weights and examples each time" in other.stderr

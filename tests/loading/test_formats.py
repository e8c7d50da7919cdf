"""docs/formats.md says what the code does: its limits, its endings, its lines to copy."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from analysis.loading import data, weights_file
from analysis.loading.npz import read_npz
from analysis.loading.pt2 import read_pt2

TEXT = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
LIMITS = re.findall(r"^\| [^|]+ \| `(\w+)\.(\w+)` \| ([\d,]+) \|$", TEXT, re.MULTILINE)
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize(("module", "name", "value"), LIMITS)
def test_limits_are_those_of_the_code(module, name, value):
    found = getattr(importlib.import_module(f"analysis.loading.{module}"), name)
    assert f"{found:,}" == value


def test_the_table_of_limits_is_found():
    assert len(LIMITS) == TEXT.count("| `", TEXT.index("## Limits"), TEXT.index("## What is never done"))
    assert len(LIMITS) > 10


def test_every_ending_has_its_row():
    rows = TEXT[: TEXT.index("Not opened")]
    for ending in (".pt2", *weights_file.SUFFIXES, *data.SUFFIXES):
        assert f"`{ending}`" in rows, ending


def test_every_named_key_is_looked_under():
    for key in weights_file.NESTS:
        assert f"`{key}`" in TEXT
    for prefix in weights_file.WRAPPERS:
        assert f"`{prefix}`" in TEXT


SETTING = """
import numpy as np
import safetensors.torch
import torch

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
inputs = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
example_input = torch.from_numpy(inputs[:2])
targets = np.arange(20) % 3
"""
LAST = """
np.save("answers.npy", model(torch.from_numpy(inputs)).detach().numpy())
"""


def test_the_lines_to_copy_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("script.py").write_text(SETTING + "".join(BLOCKS[:3]) + LAST)
    subprocess.run([sys.executable, "script.py"], check=True)
    raw = read_npz(Path("data.npz").read_bytes(), "data.npz")
    inputs = torch.as_tensor(raw.inputs)
    answers = torch.from_numpy(np.load("answers.npy"))
    module, _ = read_pt2(Path("network.pt2"), "network.pt2")
    assert torch.equal(module(inputs), answers)
    for name in ("weights.pt", "weights.safetensors"):
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        model.load_state_dict(weights_file.read_weights(Path(name), name))
        assert torch.equal(model(inputs), answers)

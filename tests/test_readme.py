"""The README tells the truth: its snippets run, its links and pictures exist."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import sample_models
from analysis.sources import Files, Settings, open_files

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def snippet(word: str) -> str:
    """The README's one piece of Python that holds `word`."""
    (found,) = (code for code in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL) if word in code)
    return found


def test_the_engine_snippet_prunes_measures_and_saves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    exec(snippet("save_pt2"), scope)  # the README's own code
    assert str(scope["after"].cost.parameters) in capsys.readouterr().out
    assert scope["after"].cost.parameters < scope["dense"].cost.parameters
    saved = torch.export.load(tmp_path / "pruned.pt2").module()
    inputs = scope["data"].evaluation.inputs[:8]
    torch.testing.assert_close(saved(inputs), scope["pruned"].module(inputs))
    exec(snippet("Gauge"), scope)
    exact = scope["after"].quality["accuracy"].value
    assert scope["reading"].is_within(0.02) and abs(scope["reading"].value.value - exact) < 0.05
    assert f"after {scope['reading'].examples} of 10000" in capsys.readouterr().out
    exec(snippet("deep-lift"), scope)
    said = capsys.readouterr().out
    assert "spearman" in said and float(scope["maps"][1].delta.abs().max()) < 0.001


def test_a_network_of_ones_own_joins(capsys: pytest.CaptureFixture[str]) -> None:
    module = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))
    exec(snippet("with_groups"), {"my_module": module, "my_batch": torch.randn(4, 6)})
    out = capsys.readouterr().out
    assert "exact" in out and "refused" in out


def test_the_lines_that_export_make_files_that_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model, inputs = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3)), torch.randn(60, 6)
    given = {"x": inputs[:2], "inputs": inputs.numpy(), "targets": np.arange(60) % 3}
    exec(snippet("np.savez"), {"torch": torch, "np": np, "model": model, **given})
    files = Files(
        Path("network.pt2").read_bytes(), Path("data.npz").read_bytes(), Settings("network.pt2", "data.npz")
    )
    opened = open_files(files)
    assert [group.verdict for group in opened.network.groups] == ["exact", "refused"]
    with torch.no_grad():
        torch.testing.assert_close(opened.network.module(inputs), model(inputs))


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_and_pictures_exist(document: str) -> None:
    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("http"):
            assert ((ROOT / document).parent / target).exists(), target


def test_the_sample_table_holds_the_figures_of_the_cards() -> None:
    table = (ROOT / "docs" / "samples.md").read_text()
    for name in sample_models.names():
        card = sample_models.read_card(name)["test"]
        figure = f"{card['value']:.1%}" if card["metric"] == "accuracy" else f"R² {card['value']:.3f}"
        row = next(line for line in table.splitlines() if f"`{name}`" in line and line.startswith("|"))
        assert figure in row

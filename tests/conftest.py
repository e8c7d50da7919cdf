"""What every test shares: one torch thread, as in the app, and names that are the same in every worker."""

from pathlib import Path

import pytest
import torch

from analysis.export import folder
from analysis.recovery import keep

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each test keeps recovered weights and exported files in folders of its own."""
    monkeypatch.setenv(keep.FOLDER, str(tmp_path / "recovered"))
    monkeypatch.setenv(folder.FOLDER, str(tmp_path / "exports"))


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Bytes do not name a test: archives hold the time they were made at, and workers must agree on names."""
    return argname if isinstance(val, bytes) else None

"""What every test shares: one torch thread, as in the app, and names that are the same in every worker."""

import pytest
import torch

torch.set_num_threads(1)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Bytes do not name a test: archives hold the time they were made at, and workers must agree on names."""
    return argname if isinstance(val, bytes) else None

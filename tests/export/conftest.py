"""One process with nothing but torch for all tests of a worker."""

from collections.abc import Iterator

import pytest

from tests.export.shipments import OnlyTorch


@pytest.fixture(scope="session")
def only_torch() -> Iterator[OnlyTorch]:
    with OnlyTorch() as process:
        yield process

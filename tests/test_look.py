"""How numbers are written wherever they are shown."""

import pytest

from analysis.look import bytes_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1002, "1,002 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (3 * 2**20, "3.00 MiB"),
    ],
)
def test_bytes_have_a_unit_and_a_separator(value, text):
    assert bytes_text(value) == text

"""Commands run in this process, as a shell would run them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from analysis.__main__ import open_source
from analysis.commands import main

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main(open_source, [str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code  # type: ignore[assignment]
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def report(call: Call) -> Callable[..., dict[str, Any]]:
    """Run a command that must succeed, and read the JSON that it prints."""

    def run(*arguments: object) -> dict[str, Any]:
        code, out, err = call(*arguments, "--json")
        assert code == 0, err
        return json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))

    return run

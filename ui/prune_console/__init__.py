"""The prune console: a slider for each target, drawn by the browser (console.js, console.css)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

_FOLDER = Path(__file__).parent


def prune_console(data: dict[str, Any], *, key: str, on_events: Callable[[], None]) -> None:
    """Draw the console.

    Its state ``events`` is the list of what the user did that the server has not confirmed yet;
    ``data["state"]["ack"]`` confirms. `on_events` is called when that list changes.
    """
    _component()(data=data, key=key, on_events_change=on_events)


def _component() -> Any:
    return st.components.v2.component(
        "prune_console",
        html='<div class="pc"></div>',
        css=(_FOLDER / "console.css").read_text(),
        js=(_FOLDER / "console.js").read_text(),
    )

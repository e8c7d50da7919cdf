"""What plans say differently, target by target, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from analysis.history.differences import Difference, plan_differences
from analysis.importance.registry import criterion_label
from analysis.pruning.plan import Pick, Plan, targets
from ui import workspace

_MOST_PICKS = 6  # named in one cell


def draw(plans: Sequence[Plan], names: Sequence[str], *, key: str) -> None:
    """A row for each thing that not all plans say alike, and a column for each plan."""
    found = in_order(plan_differences(plans))
    if not found:
        st.caption("The plans say the same.")
        return
    st.dataframe([_row(difference, names) for difference in found], hide_index=True, key=key, placeholder="")
    st.caption(
        "Shares of each target that go. Channels picked by hand go, or stay, whatever the share says. What is not listed is "
        "the same."
    )


def in_order(found: Sequence[Difference]) -> list[Difference]:
    """Differences of whole plans first, then by target from the network's input on."""
    network = workspace.network()
    ordered = dict.fromkeys([*targets(network, "channel"), *targets(network, "weight")])
    place = {name: i for i, name in enumerate(ordered)}
    return sorted(found, key=lambda d: place.get(d.target, len(place)) if d.target else -1)


def _row(difference: Difference, names: Sequence[str]) -> dict[str, Any]:
    what: str = difference.aspect
    if difference.names:
        cells = [_of_whole(what, name) for name in difference.names]
    elif difference.picks:
        what = "channels picked by hand"
        cells = [_picks(picks) for picks in difference.picks]
    else:
        what = f"{difference.aspect}s removed"
        cells = [f"{ratio:.1%}" if ratio else "–" for ratio in difference.ratios]
    return {
        "target": difference.target or "the whole plan",
        "what": what,
        **dict(zip(names, cells, strict=True)),
    }


def _of_whole(aspect: str, name: str) -> str:
    """A criterion's label, or whether something was recovered; other weights are told apart by their digest."""
    if aspect == "recovery":
        return f"recovered ({name[:8]})" if name else "as pruned"
    return criterion_label(name) or "–"


def _picks(picks: Sequence[Pick]) -> str:
    """Channels removed and kept by hand: removed 3, 5; kept 8."""
    parts = []
    for removed, way in ((True, "removed"), (False, "kept")):
        channels = [str(pick.channel) for pick in picks if pick.removed == removed]
        if channels:
            more = f" and {len(channels) - _MOST_PICKS} more" if len(channels) > _MOST_PICKS else ""
            parts.append(f"{way} {', '.join(channels[:_MOST_PICKS])}{more}")
    return "; ".join(parts) or "–"

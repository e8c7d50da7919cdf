"""Plans as JSON text: what the app saves, loads and pastes, and what it refuses."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from analysis.errors import PlanError
from analysis.pruning.plan import MAX_PICKS, Cut, Pick, Plan, short

SCHEMA = 3
READABLE = (1, 2, SCHEMA)  # schema 1 knew no picks, schema 2 no recovery
MAX_CUTS = 5000
MAX_BYTES = 4_000_000


def to_json(plan: Plan) -> str:
    """The plan as JSON text, with its schema version."""
    return json.dumps(_content(plan), indent=2) + "\n"


def key_of(plan: Plan) -> str:
    """A digest that tells a plan from all others; what later schemas add, and a plan does not use, does not change it."""
    content = {name: value for name, value in _content(plan).items() if value and name != "schema"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _content(plan: Plan) -> dict[str, Any]:
    cuts = [{"target": cut.target, "granularity": cut.granularity, "ratio": cut.ratio} for cut in plan.cuts]
    picks = [{"target": pick.target, "channel": pick.channel, "removed": pick.removed} for pick in plan.picks]
    content: dict[str, Any] = {"schema": SCHEMA, "network": plan.network, "criterion": plan.criterion}
    return content | {"cuts": cuts, "picks": picks, "recovered": plan.recovered}


def from_json(text: str | bytes) -> Plan:
    """The plan of a JSON text.

    Raises
    ------
    PlanError
        If the text is not a plan of a schema that is read; the message names what is wrong.
    """
    if len(text) > MAX_BYTES:
        raise PlanError(f"The plan is {len(text):,} bytes long; at most {MAX_BYTES:,} are read.")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f" ({error})" if isinstance(error, json.JSONDecodeError) else ""
        raise PlanError(f"The plan is not JSON{where}. Load a file that Prunescope saved.") from error
    if not isinstance(content, dict):
        raise PlanError("The plan is not a JSON object. Load a file that Prunescope saved.")
    if type(content.get("schema")) is not int or content["schema"] not in READABLE:
        raise PlanError(
            f"The plan has schema {short(content.get('schema'))}; this version reads the numbers "
            f"{', '.join(map(str, READABLE))}."
        )
    cuts = _field(content, "cuts", list)
    if len(cuts) > MAX_CUTS:
        raise PlanError(f"The plan has {len(cuts):,} cuts; at most {MAX_CUTS:,} are read.")
    picks = _field(content, "picks", list) if content["schema"] >= 2 else []
    if len(picks) > MAX_PICKS:
        raise PlanError(f"The plan has {len(picks):,} picks; at most {MAX_PICKS:,} are read.")
    return Plan(
        _field(content, "network", str),
        _field(content, "criterion", str),
        tuple(_cut_from(entry) for entry in cuts),
        tuple(_pick_from(entry) for entry in picks),
        _field(content, "recovered", str) if content["schema"] >= 3 else "",
    )


def _cut_from(entry: Any) -> Cut:
    if not isinstance(entry, dict):
        raise PlanError("A cut of the plan is not a JSON object with target, granularity and ratio.")
    ratio = entry.get("ratio")
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)):
        raise PlanError(f"A cut of the plan has no number as ratio: {short(ratio)}.")
    try:
        ratio = float(ratio)
    except OverflowError:
        raise PlanError("A cut of the plan has a ratio far beyond 1; it must lie between 0 and 1.") from None
    return Cut(_field(entry, "target", str), _field(entry, "granularity", str), ratio)


def _pick_from(entry: Any) -> Pick:
    if not isinstance(entry, dict):
        raise PlanError("A pick of the plan is not a JSON object with target, channel and removed.")
    return Pick(_field(entry, "target", str), entry.get("channel"), entry.get("removed"))  # type: ignore[arg-type]


def _field(content: dict[str, Any], name: str, kind: type) -> Any:
    value = content.get(name)
    if not isinstance(value, kind):
        raise PlanError(f"The plan has no valid {name!r} (found {short(value)}).")
    return value

"""Every measure of several trials side by side, as HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator, Sequence

from analysis.history import Trial
from analysis.look import is_nothing
from analysis.tasks import Metric
from ui import theme
from ui.theme import Palette

Text = Callable[[float], str]


def table(
    trials: Sequence[Trial], heads: Sequence[tuple[str, str]], metrics: Sequence[Metric], palette: Palette
) -> str:
    """A row for each measure; below a number of a later trial its difference against the first trial.

    `heads` are (title, when it was measured) of the trials. Rows of metrics that a trial does not have are empty there.
    """
    head = "".join(
        f"<th>{html.escape(title)}<br><small>{html.escape(when)}</small></th>" for title, when in heads
    )
    rows = [_metric_row(metric, trials) for metric in metrics]
    rows += [_cost_row(label, values, text) for label, values, text in _costs(trials)]
    measured, nothing = [trial.measurement for trial in trials], [""] * len(trials)
    encodings = [html.escape(m.size.best_encoding) for m in measured]
    rows.append(_row("Best encoding", encodings, nothing))
    # Latencies have no difference: those of different moments are not compared, and their shares are too noisy.
    rows.append(_row("Latency", [f"{m.latency.median:.2f} ms" for m in measured], nothing))
    shares = [f"{m.latency.median / m.dense_latency.median:.0%}" for m in measured]
    rows.append(_row("Latency, % of the dense network's", shares, nothing))
    return (
        f"<style>{_css(palette)}</style><div class='ps-side'><table><thead><tr><th></th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _costs(trials: Sequence[Trial]) -> Iterator[tuple[str, list[float], Text]]:
    """(label, value of each trial, how it is written)."""
    measured = [trial.measurement for trial in trials]
    yield "Parameters", [m.cost.parameters for m in measured], "{:,}".format
    yield "Nonzero connections", [m.cost.nonzero_connections for m in measured], "{:,}".format
    yield "MACs", [m.cost.macs for m in measured], "{:,}".format
    yield "Bytes as saved", [m.size.saved for m in measured], theme.bytes_text
    yield "Bytes, best lossless", [m.size.best for m in measured], theme.bytes_text


def _metric_row(metric: Metric, trials: Sequence[Trial]) -> str:
    found = [trial.measurement.quality.get(metric.key) for trial in trials]
    cells = ["–" if value is None else theme.number(value.value, metric) for value in found]
    first, *others = found
    notes = [""]
    for value in others:
        if value is None or first is None or math.isnan(value.value - first.value):
            notes.append("")
            continue
        difference = theme.delta(value.value - first.value, metric)
        notes.append("±0" if is_nothing(difference) else difference)
    titles = ["" if value is None else f"95% interval {theme.interval(value, metric)}" for value in found]
    return _row(metric.label, cells, notes, titles)


def _cost_row(label: str, values: Sequence[float], text: Text) -> str:
    first = values[0]
    notes = ["", *(theme.saving_look(value, first)["delta"] for value in values[1:])]
    return _row(label, [text(value) for value in values], notes)


def _row(label: str, cells: Sequence[str], notes: Sequence[str], titles: Sequence[str] = ()) -> str:
    shown = "".join(
        f"<td title='{html.escape(title, quote=True)}'>{cell}{f'<br><small>{note}</small>' if note else ''}</td>"
        for cell, note, title in zip(cells, notes, titles or [""] * len(cells), strict=True)
    )
    return f"<tr><td>{html.escape(label)}</td>{shown}</tr>"


def _css(palette: Palette) -> str:
    return f"""
.ps-side {{ overflow-x: auto; }}
.ps-side table {{ border-collapse: collapse; width: 100%; color: {palette.text}; font-size: .9rem;
  font-variant-numeric: tabular-nums; }}
.ps-side th {{ font-weight: 600; vertical-align: bottom; max-width: 14rem; overflow-wrap: anywhere; }}
.ps-side th, .ps-side td {{ padding: .3rem .6rem; text-align: right; }}
.ps-side td {{ border-top: 1px solid {palette.grid}; vertical-align: top; }}
.ps-side td:first-child {{ text-align: left; color: {palette.muted}; }}
.ps-side small {{ color: {palette.muted}; font-weight: 400; }}
"""

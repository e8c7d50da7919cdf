"""Every metric of the task, dense and pruned, with the change and what it is worth."""

from __future__ import annotations

import html

import streamlit as st

from analysis.measure import Measurement
from analysis.tasks import Metric
from ui import theme
from ui.theme import Palette


def draw(now: Measurement, dense: Measurement) -> None:
    """The table in the page, with how to read it below."""
    st.html(table(now, dense, theme.palette()))
    task = now.evaluation.task
    sentences = (
        f"On {now.evaluation.split.origin}. Point at a number for its 95% interval, at a name for what it counts.",
        "Changes are paired, with their interval; coloured ones leave out zero." if now.change else "",
        "Macro metrics are means over the classes that occur here." if task.is_classification else "",
        task.remark,
    )
    st.caption(" ".join(sentence for sentence in sentences if sentence))


def table(now: Measurement, dense: Measurement, palette: Palette) -> str:
    """HTML of the table; without changes if `now` is the dense network."""
    columns = ("metric", "dense", "pruned", "change") if now.change else ("metric", "dense")
    head = "".join(f"<th>{name}</th>" for name in columns)
    body = "".join(_row(metric, now, dense) for metric in now.evaluation.metrics)
    return (
        f"<style>{_css(palette)}</style><table class='ps-metrics'><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )


def _row(metric: Metric, now: Measurement, dense: Measurement) -> str:
    cells = f"<td title='{html.escape(metric.sentence, quote=True)}'>{html.escape(metric.label)}</td>"
    for measured in (dense, now) if now.change else (dense,):
        interval = measured.quality[metric.key]
        cells += (
            f"<td title='95% interval {theme.interval(interval, metric)}'>"
            f"{theme.number(interval.value, metric)}</td>"
        )
    if now.change:
        change = now.change[metric.key]
        cells += (
            f"<td class='{theme.verdict(change, metric)}'>{theme.delta(change.value, metric)} "
            f"<small>({theme.change_interval(change, metric)})</small></td>"
        )
    return f"<tr>{cells}</tr>"


def _css(palette: Palette) -> str:
    return f"""
.ps-metrics {{ border-collapse: collapse; width: 100%; color: {palette.text}; font-size: .9rem;
  font-variant-numeric: tabular-nums; }}
.ps-metrics th {{ font-weight: 500; font-size: .85rem; color: {palette.muted}; }}
.ps-metrics th, .ps-metrics td {{ padding: .25rem .5rem; text-align: right; }}
.ps-metrics td {{ border-top: 1px solid {palette.grid}; }}
.ps-metrics th:first-child, .ps-metrics td:first-child {{ text-align: left; }}
.ps-metrics .better {{ color: {palette.kept}; font-weight: 600; }}
.ps-metrics .worse {{ color: {palette.lost}; font-weight: 600; }}
.ps-metrics small {{ color: {palette.muted}; font-weight: 400; }}
"""

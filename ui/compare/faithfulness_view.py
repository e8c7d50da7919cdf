"""Faithfulness before and after: whether each network's maps say what its answers rest on."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from analysis.explain.faithfulness import EXAMPLES, MEASURES, Finding, Measure, Name
from analysis.explain.fidelity import NUDGES, RADIUS, REMOVALS, SENSITIVITY_EXAMPLES
from analysis.explain.methods import METHODS
from analysis.explain.removal import STEPS
from analysis.measure.quality import Evaluation
from analysis.tasks import Metric
from analysis.units import Message
from analysis.units import faithfulness as unit
from ui import computed, figures, studies, theme, workspace
from ui.compare import faithfulness_figures
from ui.compare.attribution_choices import method_choice
from ui.compare.faithfulness_figures import Pair
from ui.compare.similarity_views import explaining_seconds
from ui.studies import Study

_COUNTS = (64, EXAMPLES, 500)
_LEAST = 2  # examples of which an interval can be given
_START_SECONDS = 6.0  # until a worker is up
_BY_NAME: dict[Name, Measure] = {measure.name: measure for measure in MEASURES}
_MOVES: dict[Name, str] = {
    "deletion": "inputs emptied, most important first (%)",
    "insertion": "inputs filled in, most important first (%)",
}


def faithfulness(before: Evaluation, after: Evaluation) -> None:
    """Insertion and deletion curves, infidelity and max-sensitivity: a study, drawn as it is measured."""
    available, noun = len(before.split), workspace.opened().dataset.noun
    if available < _LEAST:
        st.info("Faithfulness needs at least two examples to say how sure its numbers are. Bring more data.")
        return
    columns = st.columns([1.4, 1.2, 1.1, 1], vertical_alignment="bottom")
    method, layer = method_choice(columns[0], columns[1])
    counts = tuple(dict.fromkeys(min(count, available) for count in _COUNTS))
    examples = columns[2].selectbox(
        f"Judged on {noun}", counts, index=min(1, len(counts) - 1),
        key=f"faithfulness:examples:{workspace.network_name()}:{available}", persist_state="session",
    )  # fmt: skip
    study = Study(
        "faithfulness",
        f"Faithfulness of {METHODS[method].label} on {examples} {noun}",
        workspace.bench().plan,
        unit.parameters(method, layer, examples),
    )
    studies.panel(
        study,
        lambda parts: _draw(before, parts, method),
        button="Judge the maps",
        sentence=f"Asks both networks again with inputs taken away and put back: "
        f"{theme.duration(_seconds(method, examples))}.",
    )


def _seconds(method: str, examples: int) -> float:
    """About how long it takes: the answers to changed inputs, and the maps of nudged ones."""
    asked = 2 * examples * (4 * (STEPS + 1) + 2 * REMOVALS)
    answers = computed.pass_seconds(workspace.network_name(), workspace.image_count()) * asked
    maps = explaining_seconds(method, examples + SENSITIVITY_EXAMPLES * (NUDGES + 1))
    return _START_SECONDS + answers / workspace.image_count() + 2 * maps


def _draw(before: Evaluation, parts: Sequence[Message], method: str) -> None:
    findings: dict[Name, Finding] = {}
    for part in parts:
        finding = unit.from_data(part)
        findings[finding.measure] = finding
    for column, measure in zip(st.columns(len(MEASURES)), MEASURES, strict=True):
        with column:
            if measure.name in findings:
                _card(measure, findings[measure.name])
    _curves(before, findings)
    _pairs(findings, method)


def _card(measure: Measure, finding: Finding) -> None:
    """The value after, with its paired change; coloured where less or more is truer by itself."""
    if finding.before is None or finding.after is None or finding.change is None:
        with st.container(border=True):
            st.markdown(f"**{measure.label}**")
            st.caption(finding.note)
        return
    metric = _metric(measure)
    look = theme.delta_look(finding.change, metric)
    if measure.name in _MOVES:
        look["delta_color"] = "off"
    st.metric(
        f"{measure.label} after" + (", area" if measure.name in _MOVES else ""),
        theme.number(finding.after.value.value, metric),
        **look,
        border=True,
        help=f"{measure.sentence} Before {finding.before.value.value:.3f} (95% interval "
        f"{theme.interval(finding.before.value, metric)}), after {theme.interval(finding.after.value, metric)}; "
        f"paired change {theme.change_interval(finding.change, metric)}, on {finding.examples} examples.",
    )


def _curves(before: Evaluation, findings: dict[Name, Finding]) -> None:
    y = "probability of the true class"
    if not before.task.is_classification:
        y = "share of the answer's change kept"
    for column, (name, x) in zip(st.columns(2, gap="medium"), _MOVES.items(), strict=True):
        finding = findings.get(name)
        if finding is None or finding.before is None or finding.after is None:
            continue
        with column, st.container(border=True):
            st.subheader(_BY_NAME[name].label, anchor=False)
            figure = faithfulness_figures.removal_chart(
                finding.before, finding.after, theme.palette(), x=x, y=y
            )
            st.plotly_chart(figure, config=figures.CONFIG, key=f"faithfulness:{name}")
            st.caption(
                f"{_BY_NAME[name].sentence} Look at the gap to the dotted line, a random order on the same network: "
                "that is what the map knows. A network that is less sure has lower curves whatever its map says."
            )


def _pairs(findings: dict[Name, Finding], method: str) -> None:
    """Every measure before and after, and what the changes are worth."""
    pairs: list[Pair] = []
    words: list[str] = []
    for measure in MEASURES:
        finding = findings.get(measure.name)
        if finding is None or finding.before is None or finding.after is None:
            continue
        was, now, change, metric = finding.before.value, finding.after.value, finding.change, _metric(measure)
        label = measure.label
        if measure.name in _MOVES:
            if finding.before.margin is None or finding.after.margin is None:
                continue
            was, now, change = finding.before.margin, finding.after.margin, finding.margin_change
            label, metric = f"{label},<br>gain on a<br>random order", _margin_metric(measure)
        good = "more is truer →" if metric.higher_is_better else "← less is truer"
        pairs.append((label, was, now, good if measure.name != "max-sensitivity" else "← less is steadier"))
        assert change is not None
        verdict = {"better": "better", "worse": "worse", "": "no clear change"}[theme.verdict(change, metric)]
        words.append(
            f"{measure.label} {theme.delta(change.value, metric)} "
            f"({theme.change_interval(change, metric)}, {verdict})"
        )
    if not pairs:
        return
    with st.container(border=True):
        st.subheader("Before and after", anchor=False)
        figure = faithfulness_figures.paired_measures(pairs, theme.palette())
        st.plotly_chart(figure, config=figures.CONFIG, key="faithfulness:pairs")
        st.caption(
            "Means with 95% intervals; look for filled dots that left the open ones. The gain is a share of what emptying "
            "the whole input changes, so that being less sure does not count. Paired changes: "
            + "; ".join(words)
            + f". {METHODS[method].label}, each network by its own maps, towards what is true. "
            f"Infidelity: {REMOVALS} random removals an example, each map scaled to foresee them best. Max-sensitivity: "
            f"{NUDGES} nudges of up to {RADIUS:.0%} of each input's standard deviation, on at most "
            f"{SENSITIVITY_EXAMPLES} examples."
        )


def _metric(measure: Measure) -> Metric:
    return Metric(measure.name, measure.label, measure.sentence, higher_is_better=measure.higher_is_better)


def _margin_metric(measure: Measure) -> Metric:
    return Metric(measure.name, measure.label, measure.sentence)

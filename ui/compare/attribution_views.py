"""Single examples of the Compare page: attributions before and after, by every method there is."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
import torch
from torch import Tensor

from analysis.datasets import Dataset
from analysis.explain.attribution import METHODS, Attribution, pixel_maps
from analysis.explain.estimates import draw_seconds, estimated_seconds
from analysis.explain.question import Question
from analysis.explain.targets import TARGET_KINDS
from analysis.measure.quality import Evaluation
from analysis.tasks import confidences
from analysis.units import Message
from analysis.units.attribution import pair_from_parts
from ui import computed, figures, studies, theme, workspace
from ui.compare import comparison_figures
from ui.compare.attribution_choices import how_explained, one_page, which_examples
from ui.compare.gallery import Remark, Row, gallery
from ui.compare.token_view import TokenRow, token_table
from ui.studies import Study

QUICK_SECONDS = 1.5  # up to here an answer is waited for
_SELF_STARTED_SECONDS = 60.0  # a longer study is for the reader to begin
_MOST_BARS = 20  # features of a table that fit into one chart


def examples(before: Evaluation, after: Evaluation) -> None:
    """Chosen examples with their attributions before, after, and the difference."""
    dataset = workspace.opened().dataset
    fitting, method, layer = which_examples(before, after)
    size, overlay, parameters, target, chosen = how_explained(method, before)
    shown = one_page(fitting, size)
    question = Question(method, tuple(shown.tolist()), layer, target, chosen, parameters)
    seconds = _estimate(question)

    def draw(shown: Tensor, pair: tuple[Attribution, Attribution]) -> None:
        with st.container(border=True):
            _pictures(dataset, before, after, shown, pair, question, overlay)
            st.caption(_caption(question, dataset.names_of(before.classes)) + _adding_up(pair))

    known = workspace.known_attributions(question)
    if known is None and seconds > QUICK_SECONDS:
        _study(question, seconds, draw)
        return
    if known is None:
        label = f"{METHODS[method].label} of {len(shown)} {dataset.noun}, before and after…"
        workspace.run_with_progress(label, lambda report: workspace.attributions(question, report))
        known = workspace.attributions(question)
    draw(shown, known)


def _estimate(question: Question) -> float:
    """About how long both networks take, said below the choices."""
    name, dataset = workspace.network_name(), workspace.opened().dataset
    shape = (len(question.indices), *workspace.network().example_input.shape[1:])
    seconds = 2 * estimated_seconds(
        question.method,
        dict(question.parameters),
        shape,
        computed.explaining_pass_seconds(name),
        draw_seconds(),
    )
    noun = dataset.noun if len(question.indices) > 1 else dataset.noun[:-1]
    st.caption(
        f"Takes {theme.duration(seconds)} for {len(question.indices)} {noun}, before and after together."
    )
    return seconds


def _study(question: Question, seconds: float, draw) -> None:  # type: ignore[no-untyped-def]
    """Explain in a worker, the examples drawn as they come."""
    entry, count = METHODS[question.method], len(question.indices)
    study = Study(
        "attribution",
        f"{entry.label} of {count} {workspace.opened().dataset.noun}",
        workspace.bench().plan,
        question.to_data(),
        keep="memory",
    )

    def draw_parts(parts: Sequence[Message]) -> None:
        places, before, after = pair_from_parts(parts)
        draw(torch.tensor([question.indices[place] for place in places]), (before, after))

    studies.panel(
        study,
        draw_parts,
        button="Explain",
        sentence="A worker explains them, and they appear as they are done.",
        automatic=seconds <= _SELF_STARTED_SECONDS,
    )


def _pictures(
    dataset: Dataset,
    before: Evaluation,
    after: Evaluation,
    shown: Tensor,
    pair: tuple[Attribution, Attribution],
    question: Question,
    overlay: float,
) -> None:
    """The attributions as pictures, coloured tokens or bars, whatever the inputs are."""
    palette = theme.palette()
    indices = shown.tolist()
    heads = [
        (_title(dataset, before, i), _remark(dataset, before, i), _remark(dataset, after, i)) for i in indices
    ]
    inputs = before.split.inputs[shown]
    if dataset.is_image:
        maps = [pixel_maps(question.method, one.values).numpy() for one in pair]
        pictures = dataset.pixels(inputs)
        rows = [
            Row(title, _picture(picture), was, now, said_before, said_after)
            for (title, said_before, said_after), picture, was, now in zip(
                heads, pictures, *maps, strict=True
            )
        ]
        st.html(gallery(rows, palette, overlay=overlay))
    elif not inputs.is_floating_point():
        values = [one.values.numpy() for one in pair]
        texts = [
            TokenRow(title, [str(token) for token in tokens.tolist()], was, now, said_before, said_after)
            for (title, said_before, said_after), tokens, was, now in zip(heads, inputs, *values, strict=True)
        ]
        st.html(token_table(texts, palette))
        st.caption("Each number is a token; the deeper its colour, the more the answer rests on it.")
    else:
        _bars(dataset, heads, pair)


def _picture(pixels: Tensor):  # type: ignore[no-untyped-def]
    """An image (channels, H, W) as it is drawn: in colour if it has three channels, else their mean."""
    return (pixels.permute(1, 2, 0) if len(pixels) == 3 else pixels.mean(dim=0)).numpy()


def _bars(
    dataset: Dataset, heads: Sequence[tuple[str, Remark, Remark]], pair: tuple[Attribution, Attribution]
) -> None:
    """Paired bars for every example: its features that weigh most, on one scale."""
    palette = theme.palette()
    both = torch.stack([one.values.flatten(1) for one in pair])
    names = _feature_names(dataset, both.shape[2])
    limit, signed = max(float(both.abs().max()), 1e-9) * 1.05, bool((both < 0).any())
    columns = st.columns(2)
    for i, (title, said_before, said_after) in enumerate(heads):
        heaviest = (
            both[:, i].abs().amax(dim=0).argsort(descending=True, stable=True)[:_MOST_BARS].sort().values
        )
        with columns[i % 2]:
            words = f"before {said_before.answer}, after {said_after.answer}"
            st.markdown(f"**{theme.plain(title)}**: {theme.plain(words)}")
            figure = comparison_figures.paired_bars(
                [names[f] for f in heaviest.tolist()], both[0, i, heaviest].numpy(), both[1, i, heaviest].numpy(),
                palette, limit=limit, signed=signed,
            )  # fmt: skip
            st.plotly_chart(figure, config=figures.CONFIG, key=f"tabular:{i}")
    if len(names) > _MOST_BARS:
        st.caption(
            f"Of {len(names):,} features, the {_MOST_BARS} that weigh most are shown for each example."
        )


def _feature_names(dataset: Dataset, count: int) -> tuple[str, ...]:
    """A name for each value of an example."""
    if len(dataset.feature_names) == count:
        return dataset.feature_names
    return tuple(f"value {i + 1}" for i in range(count))


def _title(dataset: Dataset, evaluation: Evaluation, index: int) -> str:
    target = evaluation.split.targets[index]
    if evaluation.task.is_classification:
        return f"#{index}, true class {dataset.names_of(evaluation.classes)[int(target)]}"
    return f"#{index}, true {float(target):.3g} {dataset.target_unit}".rstrip()


def _remark(dataset: Dataset, evaluation: Evaluation, index: int) -> Remark:
    """What a network says of an example: the class and its confidence, or the value."""
    answer = evaluation.answers[index]
    if not evaluation.task.is_classification:
        return Remark(f"{float(answer):.3g}", None)
    confidence = confidences(evaluation.task, evaluation.outputs[index : index + 1])[0, int(answer)]
    text = f"{dataset.names_of(evaluation.classes)[int(answer)]} {float(confidence):.0%}"
    return Remark(text, bool(evaluation.correct[index]))


def _caption(question: Question, names: Sequence[str]) -> str:
    """What is shown: the method, towards which answer, at which layer."""
    entry = METHODS[question.method]
    towards = ""
    if entry.has_target:
        kinds = {kind.name: kind.sentence for kind in TARGET_KINDS}
        towards = f" towards {kinds[question.target] if names else 'the predicted value'}"
        if question.chosen is not None:
            towards = f" towards {theme.plain(names[question.chosen])}"
    at = f", at {theme.plain(question.layer)}" if question.layer else ""
    return (
        f"{entry.label}{towards}{at}. {entry.sentence} ({entry.source}.) Look for places that the pruned "
        "network no longer uses, or uses instead. All examples share one scale."
    )


def _adding_up(pair: tuple[Attribution, Attribution]) -> str:
    """How far the values miss what they should add up to, in words; empty if they need not add up."""
    sizes = [one.delta.abs() for one in pair if one.delta is not None]
    if len(sizes) < len(pair):
        return ""
    words = [f"{float(size.median()):.2g} (at worst {float(size.max()):.2g})" for size in sizes]
    return (
        " The values of an example should add up to the change of the answer from an empty input: in the middle "
        f"of these examples they miss it by {words[0]} before and by {words[1]} after."
    )

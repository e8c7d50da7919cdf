"""Recover: bring back what pruning took, without training, by training, or step by step."""

from ui import comparison, frame
from ui.recover import gradual_view, quick_view, sparse_view, tune_view

frame.heading(
    "Recover",
    "Bring back what pruning took: repairs that take seconds, training, or pruning and training in turns.",
)
views = {
    "Without training": quick_view.quick,
    "Fine-tune": tune_view.tune,
    "Gradually": gradual_view.gradually,
    "Train for sparsity": sparse_view.sparse,
}
views[comparison.choose_view(tuple(views))]()

"""Forgotten: what the smaller network forgot: classes, confidence, single examples, robustness."""

from ui import comparison, workspace
from ui.forgotten import exemplar_view, forgotten_views, robustness_view

before, after = comparison.header(
    "Forgotten",
    "What the smaller network forgot: which classes paid, how sure it still is, which examples it lost, and how it "
    "copes with harder ones.",
)
if workspace.opened().dataset.task.is_classification:
    views = {"Classes": forgotten_views.classes, "Confidence": forgotten_views.confidence}
else:
    views = {"Predictions": forgotten_views.predictions, "Errors": forgotten_views.value_errors}
views |= {"Exemplars": exemplar_view.exemplars, "Robustness": robustness_view.robustness}
views[comparison.choose_view(tuple(views))](before, after)

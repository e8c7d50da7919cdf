"""Compare: what the pruned network looks at, beside the dense one."""

from ui import compare_views, comparison, workspace

before, after = comparison.header(
    "Compare",
    "The dense network before, the pruned network after: the same examples, the same scale, side by side.",
)
is_classification = workspace.opened().dataset.task.is_classification
views = {
    "Examples": compare_views.examples,
    "Similarity": compare_views.similarity,
    "Classes" if is_classification else "Predictions": (
        compare_views.classes if is_classification else compare_views.predictions
    ),
}
views[comparison.choose_view(tuple(views))](before.evaluation, after.evaluation)

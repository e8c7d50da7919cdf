"""Compare: what the pruned network looks at, beside the dense one."""

from ui import comparison
from ui.compare import attribution_views, faithfulness_view, similarity_views

before, after = comparison.header(
    "Compare",
    "The dense network before, the pruned network after: the same examples, the same scale, side by side.",
)
views = {
    "Examples": attribution_views.examples,
    "Similarity": similarity_views.similarity,
    "Over ratios": similarity_views.over_ratios,
    "Faithfulness": faithfulness_view.faithfulness,
}
views[comparison.choose_view(tuple(views))](before.evaluation, after.evaluation)

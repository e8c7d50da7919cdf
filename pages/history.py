"""History: every plan that was measured, where it came from, and the way back to it."""

from ui import comparison, frame
from ui.history import choosing, compare_view, table_view, tree_view

frame.heading(
    "History",
    "Every plan that was measured is kept, with what it grew from. Name what is worth it, compare, and bring any of it back.",
)
trials = choosing.trials_here()
views = {
    choosing.TABLE: table_view.table,
    choosing.TREE: tree_view.tree,
    choosing.COMPARE: compare_view.compare,
}
views[comparison.choose_view(choosing.VIEWS)](trials)

"""Layers: what each layer still computes, what could go whole, and what leads nowhere."""

from ui import comparison, frame
from ui.layers import layer_views, topology_view

frame.heading(
    "Layers",
    "What each layer still computes after pruning, which blocks could go whole, and which connections lead nowhere.",
)
views = {
    "Same as before?": layer_views.same,
    "Redundancy": layer_views.redundancy,
    "Topology": topology_view.topology,
}
views[comparison.choose_view(tuple(views))]()

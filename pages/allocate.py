"""Allocate: a target into a plan, by several methods; plans searched, transferred and combined."""

from ui import comparison, frame
from ui.allocate import combine_view, proposals_view, search_view, transfer_view

frame.heading(
    "Allocate",
    "Say how small, how fast or how good, and let the machine propose what to cut where. Every proposal can be opened on "
    "the Prune page and tuned by hand.",
)
views = {
    "Proposals": proposals_view.proposals,
    "Search": search_view.search,
    "Transfer": transfer_view.transfer,
    "Combine": combine_view.combine,
}
views[comparison.choose_view(tuple(views))]()

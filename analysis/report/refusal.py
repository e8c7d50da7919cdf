"""What is handed out where a report cannot be made: a page that says why."""

from __future__ import annotations

from analysis.report.page import page


def refusal_page(title: str, reason: str) -> str:
    """A self-contained HTML page with a sentence in place of a network's report."""
    return page("refusal.html", title=title, reason=reason)

"""Trials: every plan that was measured, how they grew from one another, and which of them no other beats."""

from analysis.history.front import pareto_front
from analysis.history.tree import lineage
from analysis.history.trial import Label, Summary, Trial, granularity_of

__all__ = ["Label", "Summary", "Trial", "granularity_of", "lineage", "pareto_front"]

"""Criteria: how much each weight or channel of a network matters. One file per family."""

from analysis.importance.registry import CRITERIA, Criterion, Scores, score, suits

__all__ = ["CRITERIA", "Criterion", "Scores", "score", "suits"]

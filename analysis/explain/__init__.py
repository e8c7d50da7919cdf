"""Interpretability before and after: attributions, their similarity, and which examples to look at."""

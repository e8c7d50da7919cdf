"""The Forgotten page: classes, confidence, exemplars, robustness."""

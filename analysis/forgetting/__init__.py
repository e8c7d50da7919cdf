"""What the smaller network forgot: classes, confidence, exemplars, robustness."""

"""Measuring a network: quality on data, cost, size and latency. Nothing here is estimated."""

from analysis.measure.measurement import Measurement, measure

__all__ = ["Measurement", "measure"]

"""Allocation: a target (a size, a speed, a floor on quality) into a plan, a file a method."""

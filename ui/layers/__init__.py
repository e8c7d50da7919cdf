"""The Layers page: representations, redundancy, topology."""

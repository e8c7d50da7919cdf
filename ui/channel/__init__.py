"""The Channel page: one channel explained."""

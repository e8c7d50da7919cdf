"""Files to networks and data, without executing anything they contain."""

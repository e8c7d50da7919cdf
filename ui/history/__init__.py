"""The History page: every trial as a table and as a tree, one in full, several side by side."""

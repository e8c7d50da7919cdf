"""The Export page: what leaves, in which formats, and what came of each."""

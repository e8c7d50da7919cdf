"""Small networks, each built in a way that breaks pruning tools, and what Prunescope makes of them."""

"""Inside the layers: representations, redundancy, topology, single channels."""

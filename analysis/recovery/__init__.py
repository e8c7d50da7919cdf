"""Recovery: what brings back the quality that pruning took, a file each."""

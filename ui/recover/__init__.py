"""The Recover page: without training, fine-tuning, gradually, for sparsity."""

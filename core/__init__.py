"""What both stages and the cache need, and nothing else."""

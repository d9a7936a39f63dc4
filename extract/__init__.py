"""Stage 1: frames to embeddings."""

"""Stage 2: cached features and labels to models, predictions and scores."""

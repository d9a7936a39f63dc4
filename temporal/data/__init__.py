"""Labels and features, joined and cut into segments."""

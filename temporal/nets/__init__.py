"""Temporal networks: encoders, heads, and the frameworks that join them."""

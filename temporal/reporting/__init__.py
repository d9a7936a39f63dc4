"""The report on many runs: `entries` -> `board` -> tables and, with `evidence`, one HTML page."""

"""Networks, data and training (docs in README.md)."""

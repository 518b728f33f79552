"""Reading, writing and measuring what happens inside a network (docs in README.md)."""

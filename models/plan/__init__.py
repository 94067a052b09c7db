"""Choose the smallest fleet that keeps the promise."""

"""Choose which points of a grid to measure, and turn them into surfaces."""

"""Score what was decided against what then happened."""

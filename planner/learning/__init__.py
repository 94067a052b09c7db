"""Learn from what was seen how the deployment really behaves."""

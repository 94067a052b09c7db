"""Samples of each report, and the command that renews them."""

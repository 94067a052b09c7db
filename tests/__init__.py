"""Prove what Headgate promises."""

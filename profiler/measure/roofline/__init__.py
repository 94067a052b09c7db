"""Estimate iteration times from published figures: computation, memory traffic, communication, launches."""

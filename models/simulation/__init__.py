"""Simulate a fleet, event by event."""

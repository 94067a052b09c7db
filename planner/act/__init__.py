"""Carry decisions out: one actuator a file."""

"""Predict what a fleet of replicas delivers under a load, from measured surfaces."""

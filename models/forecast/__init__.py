"""Forecast demand as calibrated quantiles."""

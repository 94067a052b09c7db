"""Carry profiles to other programs' formats and back: Dynamo's profiler files, CSV of measurements."""

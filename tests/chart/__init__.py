"""Render, install and check the Helm chart; `python -m tests.chart` renews what is made from elsewhere."""

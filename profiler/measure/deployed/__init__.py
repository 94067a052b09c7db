"""Measure layouts that are deployed in a cluster, one after the other, and taken down again."""

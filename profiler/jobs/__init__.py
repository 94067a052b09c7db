"""Run a sweep as a Kubernetes Job: hand it out in shards, follow it, collect what it measured, clean up."""

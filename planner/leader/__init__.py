"""Let one of several processes act: hold a Lease, and change nothing without it."""

"""Look at the world: Prometheus, traces and the simulated fleet."""

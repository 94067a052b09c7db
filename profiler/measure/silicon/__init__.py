"""Read iteration times off a database of measured kernels: the silicon backend."""

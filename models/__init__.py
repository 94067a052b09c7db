"""Hold the vocabulary and the mathematics of Headgate: values in, values out, no I/O."""

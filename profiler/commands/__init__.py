"""Hold one command of `headgate-profiler` a file; each loads what it needs only when it runs."""

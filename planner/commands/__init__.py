"""Hold one command of `headgate` a file; each loads what it needs only when it runs."""

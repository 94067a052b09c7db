"""Turn a sizing into a decision through guards, each of which says what it changed and why."""

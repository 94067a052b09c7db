"""Choose replica counts in a replay: Headgate itself, and what it is compared with."""

"""Keep what every tick saw, computed and did."""

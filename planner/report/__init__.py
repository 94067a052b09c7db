"""Read a journal back: explain one decision, and keep the track record of all."""

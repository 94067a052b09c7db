"""State the version that artifacts and records carry."""

VERSION = "0.1.0"

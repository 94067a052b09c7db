"""Turn values into tables and report pages."""

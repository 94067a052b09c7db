"""Profile a model once: sweep layouts, measure, fit surfaces, select, publish an artifact."""

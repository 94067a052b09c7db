"""Read what a person writes: the schema, the presets and the only reader of YAML and environment."""

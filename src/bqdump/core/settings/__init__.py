"""The settings of an export, from flags, environment and bqdump.toml."""

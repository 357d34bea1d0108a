"""The web console: the stored runs of one target as pages on the loopback address. It is read-only."""

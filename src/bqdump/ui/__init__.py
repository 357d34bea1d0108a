"""The web console: what is stored about the runs of one target, as pages on this machine's loopback. It only reads."""

"""The command line: commands, exit codes, and what is wired to what."""

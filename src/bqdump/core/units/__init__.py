"""The units of work of a run: tables, or parts of large ones, that tasks share out and claim. Pure."""

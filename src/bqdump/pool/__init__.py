"""How tasks share work: an export its units, a restore its tables, a copy its batches of files."""

"""Several datasets at one snapshot time: which ones, where each one goes, and in which order they are exported."""

"""GoogleSQL that bqdump writes."""

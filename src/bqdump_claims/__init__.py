"""`bqdump check-service`: what bqdump relies on is tried on the services themselves."""

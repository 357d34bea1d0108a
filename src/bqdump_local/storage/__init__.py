"""A stand-in for Cloud Storage: the JSON API over a folder, with every precondition honoured."""

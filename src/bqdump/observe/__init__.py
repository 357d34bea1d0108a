"""The state of runs, from the documents in the bucket."""

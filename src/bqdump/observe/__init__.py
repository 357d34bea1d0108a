"""What the documents in the bucket say about runs."""

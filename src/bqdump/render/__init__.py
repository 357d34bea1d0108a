"""Deployment files generated from the user's settings: pure functions from a Deployment to a document."""

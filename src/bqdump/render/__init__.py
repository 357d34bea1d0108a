"""What users deploy with, made from their settings: pure functions from a Deployment to a document."""

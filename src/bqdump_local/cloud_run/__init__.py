"""A stand-in for the Cloud Run Admin API (v2): jobs whose executions are processes of this machine."""

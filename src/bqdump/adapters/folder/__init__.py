"""A local folder as an ObjectStore."""

"""The export of several datasets at one snapshot time: each one an export of its own, and one document names them."""

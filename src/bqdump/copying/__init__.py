"""Copying runs to another place, where each is complete or not there."""

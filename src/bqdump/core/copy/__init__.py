"""Copies of runs in another place: what is copied, under which names, and the copy's manifest."""

"""What happens in a run, and the numbers that follow from it."""

"""Planning a run: one task makes the plan, all others read it."""

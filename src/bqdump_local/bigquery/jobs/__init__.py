"""Jobs: how they run, what they record, and what copy jobs do."""

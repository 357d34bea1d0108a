"""Jobs: how they run, and what load, extract and copy jobs do."""

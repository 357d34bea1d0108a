"""The steps of an export: plan, work, collect, publish."""

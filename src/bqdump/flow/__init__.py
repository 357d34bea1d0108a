"""The steps of an export, on the ports only: plan, work, collect, publish."""

"""The doctor: tries every permission that a run needs and evaluates every guard, without exporting anything.

It writes objects below `_bqdump/doctor/` only, and deletes them at the generation that it wrote.
"""

"""The documents in a bucket: what each holds, its name, its bytes, and whether its values can be right."""

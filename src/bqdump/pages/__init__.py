"""HTML pages: the report, and the parts that the console shares with it. Documents in, HTML out.

Python prepares values; the Jinja2 templates hold all markup and escape every value.
"""

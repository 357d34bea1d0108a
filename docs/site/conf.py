"""How Sphinx builds the site: build.py copies this next to the pages."""

project = "bqdump"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "bqdump"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
# What pages show by tags of HTML: see build.py.
html_extra_path = ["extra"]
# Headings get the anchors that links on a code host have.
myst_heading_anchors = 4
# Examples of JSON have … for what is left out.
suppress_warnings = ["misc.highlighting_failure"]
# What a command prints is no Python.
highlight_language = "none"

"""Run in the root of a clone: writes the pages that follow from the code."""

from bqdump_reference.pages import main

main()

"""How the files of a run get their final names: over those of the export before, or in a folder of their own."""

"""Publishing: collect what was written, put it in place, make it the export that readers follow."""

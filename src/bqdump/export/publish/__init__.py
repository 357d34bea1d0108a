"""Publishing: collect what was written, put it in place, make it the published export."""

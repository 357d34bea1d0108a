"""Planning, pure: what is exported, by which route, in which shares, and at which risk."""

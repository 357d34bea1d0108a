"""Files in all formats, and the objects that contain them."""

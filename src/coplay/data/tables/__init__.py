"""Tables on disk: every cell is read as text with its line; the types are decided afterwards."""

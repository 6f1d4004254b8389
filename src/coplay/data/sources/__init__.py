"""One file is one kind of source."""

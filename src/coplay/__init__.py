"""coplay."""

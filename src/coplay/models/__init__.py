"""WHO plays: black boxes that learn and sample. One file is one model."""

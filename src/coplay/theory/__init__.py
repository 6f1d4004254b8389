"""What the papers predict, computed without any training."""

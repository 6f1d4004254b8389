"""What networks are made of; players are in ``coplay.models``."""

"""WHAT is played: one paper, one file; the coordinator's side and the player's side together."""

"""How one source is dealt out to the players of a simulation; one file is one way."""

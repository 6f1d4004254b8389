"""WHERE a game runs: in one process, on a cluster, between organisations."""

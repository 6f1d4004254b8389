"""One run: its config, its sites, its games round by round, what it measures and what it leaves."""

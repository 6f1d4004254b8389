"""ONE site: its rows in the agreed variables, what it measures of them, and what it tells."""

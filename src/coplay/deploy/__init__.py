"""Parties in organisations of their own: keys, configurations, and the processes of each."""

"""Differentially private stand-ins for a site's rows, one a file."""

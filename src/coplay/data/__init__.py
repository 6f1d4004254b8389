"""Where data come from (``sources``) and how a simulation deals them out to sites (``partitions``)."""

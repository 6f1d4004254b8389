"""Where data come from (``sources``), and how a simulation deals them to sites (``partitions``)."""

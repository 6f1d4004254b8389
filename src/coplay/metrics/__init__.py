"""How good, how varied, how fair: each metric is one file with a mergeable statistic."""

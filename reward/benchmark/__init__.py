"""CMI-RewardBench (arXiv 2603.00610): how well a scorer agrees with people; see `reward.benchmark.command`."""

"""Post-training: a generator learns from the reward. Nothing is here yet; it will read the pool (CONTRIBUTING.md)."""

"""Post-training of Stable Audio, with Accelerate."""

"""Whether a trained generator got better or only looks better."""

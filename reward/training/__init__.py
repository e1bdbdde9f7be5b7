"""Training a reward model: batches, objective, embeddings of the frozen towers, validation."""

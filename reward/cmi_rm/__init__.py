"""CMI-RM: a reward model for music prompted by text, lyrics and reference audio (arXiv 2603.00610)."""

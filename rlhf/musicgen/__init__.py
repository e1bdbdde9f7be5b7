"""Post-training of MusicGen, with TRL's trainers."""

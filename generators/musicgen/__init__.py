"""MusicGen: transformers' models (plain, stereo, melody) and, in `audiocraft`, those of audiocraft."""

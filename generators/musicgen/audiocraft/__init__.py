"""MusicGen in audiocraft's own format and library."""

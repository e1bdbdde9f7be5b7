"""Scoring clips: rows of a file, candidates of a pool, clips in memory, audio decoded ahead."""

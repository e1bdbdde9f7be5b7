"""Stable Audio Open and Open Small in the format of stable-audio-tools."""

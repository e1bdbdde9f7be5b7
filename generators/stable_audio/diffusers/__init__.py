"""Stable Audio Open in the format of diffusers."""

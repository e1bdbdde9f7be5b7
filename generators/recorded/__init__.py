"""Clips that exist already, as a generator: ``folder:PATH``."""

"""Stable Audio: Open in diffusers' and stable-audio-tools' formats, and version 3."""

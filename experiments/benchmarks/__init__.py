"""Speed, measured side by side in one run: each script compares two ways of doing the same thing, in turns."""

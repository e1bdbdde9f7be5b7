"""Speed, measured side by side in one run: each command compares ways of doing the same thing, in turns."""

"""The processes of a run: what a launcher announces, how they meet, and that they work on the same."""

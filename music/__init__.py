"""The shared vocabulary of the toolkit: prompts, clips, the candidate pool, scores, run records.

This is the lowest floor: it imports no other package of the project, and everything else may import it.
"""

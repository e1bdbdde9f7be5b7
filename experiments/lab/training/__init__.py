"""Trainings of the lab's models; each runs in one process and can be resumed."""

"""Trainings of the lab's models, each resumable and for one process."""

"""Small trained models and data files that ship with the project."""

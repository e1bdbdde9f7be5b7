"""The model behind `experiments.lab.gold:Gold`: its features, its songs, its networks."""

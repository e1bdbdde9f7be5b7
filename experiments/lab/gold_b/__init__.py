"""The model behind `experiments.lab.gold:GoldB`: features, songs and networks apart from those of `Gold`."""

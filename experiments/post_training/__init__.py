"""The honest comparison of post-training algorithms, on the lab: ``python -m experiments.post_training``.

Each algorithm gets as many generated clips as the others, and best of n without any training gets as many: all of them
for the held-out prompts. Then the reward picks the best of as many clips of the trained models, too. What is told is
gold, which no reward has heard (`experiments.lab.gold`), beside the reward itself, paired by prompt and noise.
"""

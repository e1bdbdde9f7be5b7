"""What ways of choosing pairs bring, on the lab: ``python -m experiments.acquisition``.

Each way asks as many questions as the others, about the same clips and of the same simulated raters. What is told is
what a second gold (`experiments.lab.gold`), whom no rater and no reward has heard, says of the best of n of each
reward.
"""

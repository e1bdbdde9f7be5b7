"""Pseudo-labels: an audio language model judges pairs, each in both orders; see `reward.judge.command`."""

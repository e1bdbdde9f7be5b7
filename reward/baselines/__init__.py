"""Judges to compare a reward model with: similarities, aesthetics, lyrics, ensembles, and rows that should fail.

    python -m reward.benchmark --reward clap --alignment clap_similarity --data all_test.jsonl --output runs/clap

`reward.registry.KINDS` and `reward.baselines.ensemble.RULES` list them; after a colon comes the model, a folder or a
hub id, or the members of an ensemble.
"""

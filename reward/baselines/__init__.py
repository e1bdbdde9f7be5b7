"""Judges to compare a reward model with: similarities of joint embeddings, ensembles, and rows that should fail.

    python -m reward.benchmark --reward clap --alignment clap_similarity --data all_test.jsonl --output runs/clap

`reward.registry.KINDS` lists them; what stands behind a colon is the model: a folder or a hub id.
"""

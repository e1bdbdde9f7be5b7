"""Judgements of the lab's songs: pairs whose answers are known, and people and a judge who err about them."""

"""Analyses of scores and of the people that they shall agree with, one a file.

    python -m experiments.analyses arena --results results.jsonl           what decides a vote: musicality or alignment
    python -m experiments.analyses windows --data all_test.jsonl           how much of a clip has to be heard
    python -m experiments.analyses leaderboard --pools runs/a/pool,runs/b/pool    generators, ranked by a reward
    python -m experiments.analyses anchors --results results.jsonl         what a few votes on a new generator repair
    python -m experiments.analyses mirex --data pairs.jsonl                the answers of MIREX 2026, track B

Each is a file with a dataclass and a `main`, and a line in `__main__.ANALYSES`; it writes CSV and Markdown with 95 %
intervals, and a figure. Nothing that was scored is scored again.
"""

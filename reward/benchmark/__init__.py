"""CMI-RewardBench (arXiv 2603.00610): how well a scorer agrees with people.

    python -m reward.benchmark --results results.jsonl --output tables
    python -m reward.benchmark --results mine.jsonl --against theirs.jsonl --output tables

1. A results file holds the published rows with what a scorer predicted (`result_rows`).
2. `metrics_summary.csv` and `metrics_detail.csv` are the tables of the authors' evaluator (`metrics`).
3. `metrics_extra.csv` has what they leave out: 95 % intervals over prompts, ties, calibration, and more groups: the
   length of the audio, vocal and instrumental battles, each generator (`extra`).
4. With a second file, `comparison.csv` tells whether the difference may be chance (`comparison`).

`metrics.json` holds all of them and how often the scorer is right by how sure it is.
"""

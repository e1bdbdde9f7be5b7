"""CMI-RewardBench (arXiv 2603.00610): how well a scorer agrees with people.

    python -m reward.benchmark                       the lab's CMI-RM on the lab's rows, offline
    python -m reward.benchmark --reward HaiwenXia/CMI-RM --data CMI-RewardBench/all_test.jsonl --output runs/cmi_rm
    python -m reward.benchmark --results results.jsonl --output tables
    python -m reward.benchmark --results mine.jsonl --against theirs.jsonl --output tables
    torchrun --nproc-per-node 2 -m reward.benchmark ...      several processes share the scoring

1. Each distinct pair of audio and prompt is scored once; `results.jsonl` holds the published rows with what the scorer
   predicts (`predictions`, `result_rows`). A killed run continues, and another `--limit` uses what is scored.
   Rows whose audio cannot be scored are told and left out, or fatal.
2. `metrics_summary.csv` and `metrics_detail.csv` are the tables of the authors' evaluator (`metrics`).
3. `metrics_extra.csv` has what they leave out: 95 % intervals over prompts, ties, calibration, and more groups: the
   length of the audio, vocal and instrumental battles, each generator (`extra`).
4. With a second file, `comparison.csv` tells whether the difference may be chance (`comparison`).

`metrics.json` holds all of them, how often the scorer is right by how sure it is, and what became of the rows
(`coverage`); `tables` the paper's tables with a row for the scorer (`paper_tables`). `report.html` shows all of it
(`report`), and `run.json` says what ran.
"""

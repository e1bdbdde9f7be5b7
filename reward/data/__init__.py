"""Published sets of human judgement as rows that `reward.train` reads.

    python -m reward.data prepare --format cmi --source CMI-Pref/train.jsonl --output data/cmi_pref
    python -m reward.data check data/cmi_pref/rows.jsonl --benchmark data/cmi_test/rows.jsonl
    python -m reward.data stats data/cmi_pref/rows.jsonl

`prepare` reads a set in the layout in which it is published and writes rows as `reward.judgements` describes them. What
cannot become a row is counted by its reason and listed beside. Rows that share audio, prompt or battle with a benchmark
are left out (`reward.data.leakage`).
"""

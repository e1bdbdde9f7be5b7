"""Pseudo-labels: an audio language model behind an OpenAI-style endpoint judges pairs, each in both orders.

    python -m reward.judge pairs.jsonl --output runs/judge --model M --endpoint http://localhost:8000/v1
    python -m reward.judge pairs.jsonl --output runs/judge --model M --export          # batch files, for a service
    python -m reward.judge pairs.jsonl --output runs/judge --model M --results out.jsonl  # and what came back

A judge prefers what it hears first, or second. So every pair is asked twice, with the clips in both orders, and a label
is kept where both answers mean the same clip (`reward.judge.consistency`). Every answer is kept by the content of its
question (`reward.judge.questions`): a run that was killed goes on, and nothing is asked, or paid for, twice.

OUTPUT holds ``answers.jsonl``; ``rows.jsonl``, the labelled pairs, which `reward.train` reads; ``bias.md`` and
``bias.json``, how the order moves the answers, and where the pairs have true labels how often each is right; and
``run.json`` with the counts and what it cost.
"""

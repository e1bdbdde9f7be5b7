"""Votes as preferences that `reward/train.py` learns from: a study becomes training data."""

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.ab_test.analysis.votes import Vote, counted
from experiments.ab_test.study import AUDIO, BLINDED, HEADS, Key, Study
from music.prompts import Prompt


def prompt_of(folder: Path, study: Study, key: Key, name: str) -> Prompt:
    """Return a prompt of the study that lies in a folder, by its name in the study."""
    shown, known = study.prompts[name], key.prompts[name]
    reference = folder / BLINDED / AUDIO / shown.reference if shown.reference else None
    return Prompt(known.id, shown.text, shown.lyrics, reference, known.facts)


def preference_rows(
    votes: Sequence[Vote], folder: Path, study: Study, key: Key, output: Path
) -> list[dict[str, Any]]:
    """Return a row of `reward.judgements` for each first vote on a pair, A and B as the rater saw and heard them.

    Paths of audio are relative to `output`, the folder of the file that the rows are for.
    """
    rows = []
    for vote in counted(votes):
        trial = study.trials[vote.trial]
        prompt = prompt_of(folder, study, key, trial.prompt)
        clip_a, clip_b = study.shown((vote.trial, vote.swapped))
        system_a, system_b = vote.shown
        own = {"prompt_id": prompt.id, "rater": vote.rater, "system_a": system_a, "system_b": system_b}
        rows.append(
            {
                "id": f"{study.id}-{vote.rater}-{vote.position}",
                "text": prompt.text,
                "lyrics": prompt.lyrics,
                "reference": _relative(prompt.reference, output) if prompt.reference else "",
                "audio_a": _relative(folder / BLINDED / AUDIO / clip_a, output),
                "audio_b": _relative(folder / BLINDED / AUDIO / clip_b, output),
                **{f"preference_{head}": vote.side(head) for head in HEADS},
                **{f"confidence_{head}": float(vote.confidence[head]) for head in HEADS},
                "facts": {**prompt.facts, **own},
            }
        )
    return rows


def split_by_prompt(
    rows: Sequence[dict[str, Any]], share: float, seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return rows to train on and rows to validate on: about a share of the prompts, at least one, drawn by a seed."""
    prompts = sorted({row["facts"]["prompt_id"] for row in rows})
    size = min(len(prompts) - 1, max(1, round(share * len(prompts)))) if share else 0
    held = set(random.Random(seed).sample(prompts, size))
    return (
        [row for row in rows if row["facts"]["prompt_id"] not in held],
        [row for row in rows if row["facts"]["prompt_id"] in held],
    )


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path.absolute(), folder.absolute())

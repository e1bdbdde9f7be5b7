"""Results files of battles whose truth is known."""

import numpy as np

from music.jsonl import dump_line


def sigmoid(logits):
    return 1 / (1 + np.exp(-np.asarray(logits)))


def battle(number, musicality, alignment, vote, **others):
    """Return a row of Music Arena with these differences, as `reward.benchmark` writes it; two rows share a prompt."""
    return {
        "source": "Music Arena",
        "split": "test",
        "audio-path": f"a/{number}-a.flac",
        "audio2": f"a/{number}-b.flac",
        "prompt": f"prompt {number // 2}",
        "preference": vote,
        "predicted_musicality": 1.0 + musicality,
        "predicted_musicality_b": 1.0,
        "predicted_text-music alignment": alignment - 2.0,
        "predicted_text-music alignment_b": -2.0,
        **others,
    }


def regressed(count, intercept, musicality, alignment, seed=0):
    """Return battles that are decided as a logistic regression with these coefficients says."""
    rng = np.random.default_rng(seed)
    gaps = rng.normal(size=(count, 2)) * [1.5, 0.7]
    votes = rng.random(count) < sigmoid(intercept + gaps @ [musicality, alignment])
    return [
        battle(number, mus, ali, "AB"[int(not vote)])
        for number, ((mus, ali), vote) in enumerate(zip(gaps, votes, strict=True))
    ]


def offset_world(count, offset, seed=0, generators=4):
    """Return battles whose votes follow a quality, and a score of generator 0 that is `offset` too high."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(size=(count, 2))
    makers = [rng.choice(generators, size=2, replace=False) for _ in range(count)]
    votes = rng.random(count) < sigmoid(2 * (quality[:, 0] - quality[:, 1]))
    heard = quality + 0.3 * rng.normal(size=(count, 2)) + offset * (np.array(makers) == 0)
    gaps = 3 * (heard[:, 0] - heard[:, 1])
    return [
        battle(number, gap, 0.0, "AB"[int(not vote)], model_a=f"model {a}", model_b=f"model {b}")
        for number, (gap, vote, (a, b)) in enumerate(zip(gaps, votes, makers, strict=True))
    ]


def write(path, rows):
    path.write_text("".join(map(dump_line, rows)))
    return path

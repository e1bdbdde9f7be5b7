"""What a page shows of a study: its introduction, and a single turn."""

from typing import Any

from experiments.ab_test.study import Study, Turn


def introduction(study: Study) -> dict[str, Any]:
    """Return what the pages before the first turn need."""
    settings = study.settings
    return {
        "id": study.id,
        "title": settings.title,
        "consent": settings.consent,
        "ties": settings.ties,
        "reading_seconds": settings.reading_seconds,
        "minutes": estimated_minutes(study),
        "turns": max(map(len, study.schedules)),
        "volume": study.volume,
        "headphones": [trial.file for trial in study.headphones],
        "practice": described_turn(study, (study.practice, False)),
    }


def estimated_minutes(study: Study) -> int:
    """Return how long a rater needs: each clip one and a half times, and 15 s to think and click."""
    longest = max(clip.seconds for clip in study.clips.values())
    return max(1, round(max(map(len, study.schedules)) * (3 * longest + 15) / 60))


def described_turn(study: Study, turn: Turn) -> dict[str, Any]:
    """Return what the page of a turn shows."""
    trial = study.trials[turn[0]]
    prompt = study.prompts[trial.prompt]
    clips = {}
    for name, clip in zip("ab", study.shown(turn), strict=True):
        known = study.clips[clip]
        clips[name] = {
            "file": clip,
            "seconds": known.seconds,
            "outline": list(known.outline),
            "needed": study.needed_seconds(clip),
        }
    asked = {"text": prompt.text, "lyrics": prompt.lyrics, "reference": prompt.reference}
    return {"trial": turn[0], "prompt": asked, **clips}

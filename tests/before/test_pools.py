"""Pools and scores that the version before has made: nothing is made or scored anew."""

import pytest

from generators import load_generator
from music.intervals import FEWEST
from music.pool import Pool
from reward import load_scorer
from tests.before.files import close_to, record, rows, state, table

MACHINE = ("revision", "device", "threads", "processes", "python", "platform", "versions")
MADE = ("*.flac", "*.safetensors")
STABLE_AUDIO = {
    "generator": "lab-stable-audio",
    "n": 1,
    "limit": 1,
    "seconds": 0.5,
    "steps": 4,
    "guidance": 3,
}
STABLE_AUDIO |= {"negative_prompt": "noise", "device": "cpu", "output": "stable_audio"}

JUDGED = ("pool/scores/gold.jsonl", "best/metadata.jsonl")  # files with what gold says


@pytest.mark.parametrize("run", ["best_of_n", "stable_audio"])
def test_a_finished_run_is_repeated_without_making_or_scoring(before, command, run):
    """What a spec or a hash calls another model would be made, scored or refused."""
    if run == "stable_audio":
        pytest.importorskip("diffusers")
        options = [f"--{name}={value}" for name, value in STABLE_AUDIO.items()]
    else:
        options = ["--config", "configs/best_of_n.yaml"]
    made, written = state(before / run / "pool", *MADE), state(before / run, "*.jsonl")
    best = state(before / run / "best", "*.flac")
    judged = {name: rows(before / run / name) for name in written if name in JUDGED and run == "best_of_n"}
    records = {name: record(before / run / name) for name in ("run.json", "summary.json")}
    command("scaling/best_of_n.py", *options)
    assert state(before / run / "pool", *MADE) == made
    now = state(before / run, "*.jsonl")
    assert _bytes(now, but=judged) == _bytes(written, but=judged)
    assert _bytes(state(before / run / "best", "*.flac")) == _bytes(best)
    for name, known in judged.items():
        anew = [row for row in rows(before / run / name) if "gold_margin" in row.get("scores", row)]
        assert [_earlier(row) for row in anew] == close_to([_earlier(row) for row in known])
    for name, known in records.items():
        found = record(before / run / name)
        assert known.keys() <= found.keys()
        # an option may have another name by now, and no run takes as long as another
        if known.get("n_prompts", FEWEST) < FEWEST:
            known = _without_intervals(known)
        known, found = _earlier(known), _earlier(found)
        lasting = known.keys() - {"command", "config", "started", "wall_seconds", "seconds", *MACHINE}
        assert {key: found[key] for key in lasting} == close_to({key: known[key] for key in lasting})


def _without_intervals(known):
    """Return a summary as it would be now: one prompt gives no interval."""
    if not isinstance(known, dict):
        return known
    return {key: None if key == "ci95" else _without_intervals(value) for key, value in known.items()}


def _earlier(found):
    """Return what gold says as it was before it told its margin, which made it another scorer."""
    if not isinstance(found, dict):
        return found
    later = {"gold_margin", "gold"} | ({"hash"} if found.get("scorer") == "gold" else set())
    return {key: _earlier(value) for key, value in found.items() if key not in later}


def _bytes(found, but=()):
    return {name: data for name, (_, data) in found.items() if name not in but}


def test_a_pool_is_read(before):
    pool = Pool("best_of_n/pool")
    pool.verify()
    assert [candidate.candidate for candidate in pool] == [0, 1, 0, 1]
    generator = load_generator("lab-musicgen", device="cpu")
    for candidate in pool:
        assert pool.spec(candidate) == {**generator.spec, "seconds": 1.0}
        assert pool.clip(candidate).waveform.shape == (1, 16_000)
        assert pool.tokens(candidate).ndim == 2
        assert pool.prompt(candidate).facts["instrument"] in ("piano", "guitar")


def test_the_reward_has_the_hash_that_it_had(before):
    scorer = load_scorer("lab-cmi-rm", device="cpu")
    scored = rows(before / "best_of_n" / "pool" / "scores" / f"{scorer.name}.jsonl")
    assert {row["hash"] for row in scored} == {scorer.hash}
    assert {tuple(sorted(row["scores"])) for row in scored} == {tuple(sorted(scorer.metrics))}


def test_a_killed_pool_is_filled(before, command):
    """It was killed with its rows in the file of its process."""
    folder = before / "half_made" / "pool"
    made = state(folder, *MADE)
    options = {"generator": "models/musicgen", "reward": "loudness", "weights": "loudness=1", "n": 2}
    options |= {"prompts": "prompts.txt", "seconds": 0.5, "device": "cpu", "output": "half_made"}
    command("scaling/best_of_n.py", *(f"--{name}={value}" for name, value in options.items()))
    found = state(folder, *MADE)
    assert made.items() <= found.items()
    assert len([name for name in found if name.endswith(".flac")]) == 4
    assert [row["candidate"] for row in rows(folder / "metadata.jsonl")] == [0, 1, 0, 1]


def test_a_pool_is_evaluated_by_the_scores_it_has(before, command):
    written = state(before / "best_of_n", "scores/*")
    command("scaling.evaluate", "--config", "configs/evaluate.yaml")
    assert _bytes(state(before / "best_of_n", "scores/*"), but=JUDGED) == _bytes(written, but=JUDGED)
    assert {line["metric"] for line in table(before / "evaluated" / "table.csv")} >= {
        "reward",
        "gold_musicality",
    }


def test_scored_rows_are_kept_and_the_others_added(before, command):
    scored = before / "scored"
    whole, half = ((scored / name).read_text() for name in ("complete.jsonl", "half-00000.jsonl"))
    told = command("reward.score", "scored/rows.jsonl", "scored/complete.jsonl", "--device", "cpu")
    assert "0 rows scored, 4 kept, 0 failed" in told
    assert (scored / "complete.jsonl").read_text() == whole
    told = command("reward.score", "scored/rows.jsonl", "scored/half.jsonl", "--device", "cpu")
    assert "2 rows scored, 2 kept, 0 failed" in told
    assert (scored / "half.jsonl").read_text().startswith(half)
    for row, wanted in zip(rows(scored / "half.jsonl"), rows(scored / "complete.jsonl"), strict=True):
        # bands above a clip's own hold the rounding of the processor's FFT, of which the reward hears the logarithm
        close = {name: pytest.approx(wanted[name], abs=1e-2) for name in ("musicality", "alignment")}
        assert {name: row[name] for name in wanted} == wanted | close
    # that version kept no hash of what was scored
    assert ["scored_audio" in row for row in rows(scored / "half.jsonl")] == [False, False, True, True]

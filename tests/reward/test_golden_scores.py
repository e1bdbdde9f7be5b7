"""The scores of the authors' code, and that a score depends on nothing but its request."""

import json
import os
import random
import subprocess
import sys

import pytest

from reward import load_scorer
from reward.score import ScoreConfig, main


def largest_difference(found, expected):
    return max(abs(a[name] - b[name]) for a, b in zip(found, expected, strict=True) for name in b)


def write_rows(path, requests):
    rows = []
    for request in requests:
        prompt, audio = request.prompt, os.path.relpath(request.audio, path.parent)
        reference = os.path.relpath(prompt.reference, path.parent) if prompt.reference else ""
        row = {"id": prompt.id, "audio": audio, "text": prompt.text, "lyrics": prompt.lyrics}
        rows.append(row | {"reference": reference})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def test_python_call(golden, golden_name, scoring):
    requests, expected = golden(golden_name)
    found = load_scorer(scoring / golden_name, device="cpu").score(requests)
    assert largest_difference(found, expected) < 1e-5
    assert all(list(scores) == ["musicality", "alignment"] for scores in found)


def test_command(golden, golden_name, scoring, tmp_path):
    requests, expected = golden(golden_name)
    rows = write_rows(tmp_path / "in.jsonl", requests)
    files = [str(tmp_path / name) for name in ("in.jsonl", "out.jsonl")]
    assert main(ScoreConfig(*files, reward=str(scoring / golden_name))) == 0
    results = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert largest_difference(results, expected) < 1e-5
    assert [{name: result[name] for name in rows[0]} for result in results] == rows
    assert {result["model"] for result in results} == {load_scorer(scoring / golden_name).hash}


def test_command_as_a_process_from_another_folder(golden, scoring, tmp_path):
    requests, expected = golden("sa_conv")
    write_rows(tmp_path / "in.jsonl", requests[:3])
    files = ["in.jsonl", "out.jsonl"]
    command = [sys.executable, "-m", "reward.score", "--reward", str(scoring / "sa_conv"), *files]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == 1 + 3  # the ranking, and nothing that a library says
    results = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert largest_difference(results, expected[:3]) < 1e-5


@pytest.mark.parametrize("seed", [0, 1])
def test_order_and_neighbours_change_nothing(golden, golden_name, scoring, seed):
    requests, _ = golden(golden_name)
    alone = [load_scorer(scoring / golden_name, device="cpu").score([request])[0] for request in requests[:6]]
    shuffled = list(enumerate(requests))
    random.Random(seed).shuffle(shuffled)
    together = load_scorer(scoring / golden_name, device="cpu").score([request for _, request in shuffled])
    found = {index: scores for (index, _), scores in zip(shuffled, together, strict=True)}
    assert [found[index] for index in range(6)] == alone  # on a CPU to the bit

"""An audio language model as a scorer, behind a real server that misbehaves."""

import json
import re
import socket
from functools import partial

import pytest

from music.clips import Clip, write_clip
from music.command import run
from music.errors import InputError, ServiceError
from music.prompts import Prompt
from reward import ScoreRequest, load_scorer
from reward.baselines.llm_judge import LLMJudge
from reward.judge.client import Patience
from reward.judge.questions import Judge, load_instruction
from reward.judge.sound import Sound
from reward.score import ScoreConfig, main
from reward.scoring.rows import score_rows

LEVELS = (0.1, 0.4, 0.7, 1.0)


@pytest.fixture
def clips(tmp_path, noise):
    """Write clips that grow louder, and return their files."""
    paths = []
    for index, level in enumerate(LEVELS):
        clip = noise(12_000, seed=index)
        paths.append(tmp_path / f"{index}.flac")
        write_clip(paths[-1], Clip(level * clip.waveform / clip.waveform.abs().max(), clip.sample_rate))
    return paths


@pytest.fixture
def judge(server):
    return impatient(server.url)


def impatient(url):
    tiny = Judge("tiny", load_instruction("pointwise_1"), Sound("wav"))
    return LLMJudge(url, tiny, patience=Patience(attempts=3, pause=0.01, timeout=5.0))


def requests_for(clips, text="rock"):
    return [ScoreRequest(path, Prompt("p", text)) for path in clips]


def test_each_clip_gets_the_marks_that_the_server_gave_it(judge, clips, server):
    found = judge.score(requests_for(clips))
    marks = [one["musicality"] for one in found]
    assert marks == sorted(marks)
    assert len(set(marks)) == len(marks)
    assert [one["alignment"] for one in found] == [5.5] * len(clips)
    assert judge.score(requests_for(clips[1:2])) == found[1:2]
    assert len(server.requests) == len(clips)  # the second time it was remembered
    judge.score(requests_for(clips[:1], "another text"))
    assert len(server.requests) == len(clips) + 1


def test_it_is_found_by_model_and_endpoint(server, clips, monkeypatch):
    monkeypatch.setenv("JUDGE_API_KEY", "secret-key")
    scorer = load_scorer(f"llm-judge:some/Audio-7B@{server.url}", dtype="bfloat16")
    assert scorer.name == "llm-judge-Audio-7B"
    assert scorer.score(requests_for(clips[:1]))[0]["alignment"] == 5.5
    ((body, headers),) = server.requests
    assert (body["model"], headers["Authorization"]) == ("some/Audio-7B", "Bearer secret-key")
    titles = [part.get("text", part["type"]) for part in body["messages"][1]["content"]]
    assert titles == ["Description: rock", "Candidate:", "input_audio", load_instruction("pointwise_1").form]


def test_its_hash_covers_who_is_asked_what_and_how(server):
    place = f"llm-judge:m@{server.url}"
    known = load_scorer(place)
    assert load_scorer(place).hash == known.hash
    others = [load_scorer(f"llm-judge:n@{server.url}"), load_scorer(place, max_seconds=10.0)]
    assert len({scorer.hash for scorer in (known, *others)}) == 3


@pytest.mark.parametrize(
    "fault", [500, 429, "drop", b"<html>proxy</html>", "no JSON", '{"musicality": 11, "alignment": 3}', ""]
)
def test_what_goes_wrong_is_asked_again(judge, clips, server, fault):
    server.faults = [fault]
    assert judge.score(requests_for(clips[:1]))[0]["alignment"] == 5.5
    assert len(server.requests) == 2


def test_a_clip_without_a_mark_is_an_error_of_its_own_row_and_asked_again_by_the_next_run(
    judge, rows, clips, server, tmp_path
):
    output = tmp_path / "out.jsonl"
    (tmp_path / "0.flac").write_bytes(b"no audio")
    assert score_rows(rows, output, judge).failed == 1
    assert len(server.requests) == len(clips) - 1  # side by side, none twice, and none for the broken file
    found = [json.loads(line) for line in output.read_text().splitlines()]
    assert ["error" in row for row in found] == [True, False, False, False]
    clips[1].rename(tmp_path / "0.flac")
    server.faults = [500] * 3
    with pytest.raises(InputError, match="no mark in 3 attempts"):
        judge.score(requests_for([tmp_path / "0.flac"], "never asked"))


@pytest.fixture
def rows(clips, tmp_path):
    """Write a row for each clip, and return the file."""
    source = tmp_path / "rows.jsonl"
    source.write_text(
        "".join(json.dumps({"id": path.stem, "audio": path.name, "text": "rock"}) + "\n" for path in clips)
    )
    return source


def test_a_server_that_refuses_ends_the_work_and_what_is_finished_stays(
    rows, server, tmp_path, capsys, monkeypatch
):
    reward = f"llm-judge:m@{server.url}"
    job = ScoreConfig(str(rows), str(tmp_path / "out.jsonl"), reward=reward, device="cpu")
    monkeypatch.setattr("reward.baselines.llm_judge.LLMJudge", partial(LLMJudge, batch_size=2))
    server.faults = [None, None, 401, 401]
    argv = [job.input, job.output, f"--reward={reward}", "--device=cpu"]
    with pytest.raises(SystemExit) as ended:
        run(main, ScoreConfig, argv)
    assert ended.value.code == 2
    assert re.match("error: .* refuses with 401", capsys.readouterr().err.splitlines()[-1])
    assert len(server.requests) == 4
    assert main(job) == 0
    assert len(server.requests) == 6  # those that had no mark
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["alignment"] for row in found] == [5.5] * len(LEVELS)


def test_a_server_that_cannot_be_reached_ends_the_work(rows, clips, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(ServiceError, match=r"127\.0\.0\.1.* cannot be reached in 3 attempts"):
        score_rows(rows, tmp_path / "out.jsonl", impatient(url))


def test_a_request_that_is_refused_for_what_it_holds_is_an_error_of_its_own_row(
    judge, rows, server, tmp_path
):
    server.faults = [413] * (len(LEVELS) + 1)  # all side by side, and the first again by itself
    assert score_rows(rows, tmp_path / "out.jsonl", judge).failed == 1


@pytest.mark.parametrize("place", ["", "model", "@http://localhost:1/v1", "model@localhost"])
def test_a_place_needs_model_and_endpoint(place):
    with pytest.raises(InputError, match="expected llm-judge:MODEL@URL"):
        load_scorer(f"llm-judge:{place}")


def test_only_files_are_sent(judge, noise):
    with pytest.raises(InputError, match="clip in memory"):
        judge.score([ScoreRequest(noise(12_000), Prompt("p", "rock"))])


def test_shipped_instructions_are_named_where_one_is_not_found():
    with pytest.raises(InputError, match="pairwise_1 or pointwise_1"):
        load_instruction("none")

"""The loop: a reward learns from answers about a generator's clips, from whatever moment it is taken up again."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from music.errors import InputError
from music.pool import Pool
from music.scores import ScoreTable
from music.shipped_files import asset
from reward import ScoreRequest, load_scorer
from reward.cmi_rm.towers import Towers
from reward.judgements import load_preferences
from rlhf.asking import rounds as loop_rounds
from rlhf.asking.measuring import within_prompt
from rlhf.asking.options import RewardLoop
from rlhf.asking.questions import read_questions
from rlhf.asking.studies import SIDES
from rlhf.loop import main
from tests.reward.training_runs import die_at, rated, write_pairs, write_rows
from tests.web_pages import assert_balanced, assert_loads_nothing

ROUND = Path("rounds", "0")


OPTIONS = RewardLoop(
    prompts="lab-train",
    limit=3,
    n=4,
    seconds=1.0,
    rounds=2,
    budget=6,
    validation=0.34,
    learn="heads",
    steps=2,
    batch_size=4,
    device="cpu",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the options of a loop that was never killed."""
    options = replace(OPTIONS, output=tmp_path_factory.mktemp("loop") / "finished")
    main(options)
    return options


@pytest.fixture
def options(finished, tmp_path):
    """Return the options of another whose clips and their embeddings are there already."""
    for name in ("pool", "embeddings"):
        shutil.copytree(finished.output / name, tmp_path / "out" / name)
    shutil.rmtree(tmp_path / "out" / "pool" / "scores")
    return replace(OPTIONS, output=tmp_path / "out")


def weights_of(folder):
    return load_file(folder / "reward" / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def die(*_, **__):
    raise KeyboardInterrupt


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_reward_learns_from_answers_and_only_from_those_that_may_train(finished):
    options = finished
    first, second = (options.output / "rounds" / f"{index}" for index in range(2))
    assert not same(weights_of(first), weights_of(second))
    assert same(weights_of(second), weights_of(options.output))
    load_scorer(options.output / "reward", device="cpu")
    asked = [read_questions(place / "questions.jsonl") for place in (first, second)]
    assert [len(found) for found in asked] == [6, 6]
    pairs = [(one.prompt_id, *sorted((one.a, one.b))) for found in asked for one in found]
    assert len(set(pairs)) == 12  # none is asked about twice
    answers = load_preferences(second / "answers.jsonl")
    assert len(answers) == 6
    trained, held = (rows_of(second / f"{name}.jsonl") for name in ("train", "validation"))
    assert len(trained) + len(held) == 12  # of both rounds
    assert not {row["facts"]["prompt_id"] for row in trained} & {row["facts"]["prompt_id"] for row in held}
    log = rows_of(options.output / "log.jsonl")
    assert [row["round"] for row in log] == ["start", 0, 1]
    assert log[1]["after"]["musicality"]["pairs"] <= len(rows_of(first / "validation.jsonl"))


def test_what_the_towers_gave_is_heard_again_and_scores_are_those_of_a_reward_alone(
    options, finished, monkeypatch
):
    pool = Pool(finished.output / "pool")
    requests = [ScoreRequest(pool.path(one), pool.prompt(one)) for one in pool]
    for index in range(2):
        scorer = load_scorer(
            finished.output / "rounds" / f"{index}" / "reward", device="cpu", name=f"round-{index}"
        )
        table = ScoreTable(pool.folder, scorer.name, scorer.hash, scorer.metrics)
        known = [place for place, one in enumerate(pool) if not table.missing([one])]
        assert known
        alone = scorer.score([requests[place] for place in known])
        assert table.table([pool.candidates[place] for place in known]) == alone
    monkeypatch.setattr(Towers, "encode_audios", None)
    monkeypatch.setattr(Towers, "encode_text", None)
    main(options)
    assert (options.output / "log.jsonl").read_bytes() == (finished.output / "log.jsonl").read_bytes()
    assert same(weights_of(options.output), weights_of(finished.output))


@pytest.mark.parametrize("moment", ["asking", "learning", "measuring"])
def test_a_killed_run_ends_with_the_same_weights(options, finished, monkeypatch, moment):
    with monkeypatch.context() as patched:
        if moment == "learning":
            die_at(patched, 2)
        name = {"asking": "write_answers", "learning": "log_of", "measuring": "agreement"}[moment]
        patched.setattr(loop_rounds, name, die)
        with pytest.raises(KeyboardInterrupt):
            main(options)
    assert not (options.output / ROUND / "round.json").exists()
    main(options)
    assert same(weights_of(options.output), weights_of(finished.output))
    for name in ("rounds/1/answers.jsonl", "rounds/1/train.jsonl", "log.jsonl"):
        assert (options.output / name).read_bytes() == (finished.output / name).read_bytes()


def test_a_finished_run_goes_on_with_more_rounds_and_does_nothing_again(options, finished):
    main(replace(options, rounds=1))
    stamp = (options.output / ROUND / "reward" / "model.safetensors").stat().st_mtime_ns
    main(options)
    assert (options.output / ROUND / "reward" / "model.safetensors").stat().st_mtime_ns == stamp
    assert same(weights_of(options.output), weights_of(finished.output))
    with pytest.raises(InputError, match=r"another options \(budget \(was 6, is 5\)\)"):
        main(replace(options, budget=5))


def test_people_are_waited_for_and_the_run_goes_on_with_their_answers(options, tmp_path, capsys):
    study = tmp_path / "study"
    options = replace(options, rounds=1, raters=str(study))
    main(options)
    told = capsys.readouterr().out
    waited = study / "round-0" / "study" / "preferences.jsonl"
    assert f"waiting for {waited}" in told
    assert f"python -m experiments.ab_test export {study}/round-0/study --to preferences" in told
    assert not (options.output / "reward").exists()
    questions = read_questions(options.output / ROUND / "questions.jsonl")
    shown = {side: rows_of(study / "round-0" / "pairs" / side / "metadata.jsonl") for side in SIDES}
    assert [row["prompt_id"] for row in shown[SIDES[0]]] == [one.id for one in questions]
    facts = [row["facts"] for row in rows_of(study / "round-0" / "pairs" / "prompts.jsonl")]
    answers = []
    for place, one in enumerate(questions):
        sides = SIDES if place % 2 else SIDES[::-1]  # as people saw them
        audio = {
            f"audio_{name}": str(study / "round-0" / "pairs" / side / shown[side][place]["file_name"])
            for name, side in zip("ab", sides, strict=True)
        }
        systems = {f"system_{name}": side for name, side in zip("ab", sides, strict=True)}
        first = "a" if sides == SIDES else "b"  # everybody prefers the first clip of the question
        answers.append(
            {"id": f"{place}", "text": "x", **audio, "preference_musicality": first, "preference_alignment": "tie",
             "confidence_musicality": 4.0, "facts": {**facts[place], "prompt_id": one.id, "rater": "r", **systems}}
        )  # fmt: skip
    waited.parent.mkdir(parents=True)
    alike = [row for one, row in zip(questions, answers, strict=True) if not one.held_out]
    waited.write_text("".join(json.dumps(row) + "\n" for row in alike))
    with pytest.raises(InputError, match="its 4 answers are all about prompts that only measure, or none is"):
        main(options)
    waited.write_text("".join(json.dumps(row) + "\n" for row in answers))
    main(options)
    assert "is the last reward" in capsys.readouterr().out
    for one, row in zip(questions, rows_of(options.output / ROUND / "answers.jsonl"), strict=True):
        assert row["preference_musicality"] == "a"
        assert row["preference_alignment"] == "tie"
        assert row["confidence_musicality"] == 4.0
        assert row["facts"]["candidate_a"] == one.a
        assert row["audio_a"].startswith("../../pool/audio/")


def test_answers_of_another_study_are_refused(options, tmp_path):
    study = tmp_path / "study"
    options = replace(options, rounds=1, raters=str(study))
    main(options)
    place = study / "round-0" / "study"
    write_pairs(place / "preferences.jsonl", 2, 0)
    with pytest.raises(InputError, match="line 1: is not about a pair of this round: export the study of"):
        main(options)
    (place / "preferences.jsonl").unlink()
    other = replace(options, output=tmp_path / "other", seed=1)
    with pytest.raises(InputError, match="holds the pairs of another run: choose another --raters folder"):
        main(other)


def test_older_rows_are_learned_again_and_measured_but_never_both(options, tmp_path):
    write_pairs(tmp_path / "old" / "rows.jsonl", 12, 1)
    options = replace(options, rounds=1, replay=tmp_path / "old" / "rows.jsonl")
    main(options)
    trained, held = (rows_of(options.output / ROUND / f"{name}.jsonl") for name in ("train", "validation"))
    old = [[row for row in rows if row["id"].startswith("replay-")] for rows in (trained, held)]
    assert len(old[0]) == len(trained) - len(old[0])  # half of what is learned from
    assert old[1]
    heard = [{row[f"audio_{side}"] for row in rows for side in "ab"} for rows in old]
    assert not heard[0] & heard[1]
    log = rows_of(options.output / "log.jsonl")
    assert all(row["replay"]["musicality"]["pairs"] == len(old[1]) for row in log)


def test_several_heads_go_on_as_several_heads(options):
    options = replace(options, ensemble=2, acquisition="disagreement")
    main(options)
    first, second = (options.output / "rounds" / f"{index}" / "reward" for index in range(2))
    for number in range(2):
        one, other = (load_file(place / f"head-0{number}" / "model.safetensors") for place in (first, second))
        assert not same(one, other)
    scorer = load_scorer(f"ensemble:{options.output / 'reward'}", device="cpu")
    assert "musicality_spread" in scorer.metrics
    log = rows_of(options.output / "log.jsonl")
    assert [row.get("acquisition") for row in log] == [
        None,
        "random",
        "disagreement",
    ]  # one head cannot disagree


def test_judges_are_compared_on_held_out_prompts(options, tmp_path):
    prompts = rows_of(Path("assets/lab/prompts_choosing.jsonl"))[:3]
    (tmp_path / "held_out.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    options = replace(
        options,
        rounds=1,
        held_out=str(tmp_path / "held_out.jsonl"),
        held_out_n=2,
        judges="experiments.lab.gold:Gold",
    )
    main(options)
    start, after = rows_of(options.output / "log.jsonl")
    judged = {"gold_alignment", "gold_margin", "gold_musicality"}
    assert set(start["held_out"]["within_prompt"]["reward"]) == judged
    assert set(after["held_out"]["by_n"]) == {"1", "2"}
    assert "since_first" not in start["held_out"]
    assert set(after["held_out"]["since_first"]) == judged
    page = (options.output / "report.html").read_text()
    assert_loads_nothing(page)
    assert_balanced(page)
    assert "6 answers about lab-musicgen" in page
    assert page.count("<svg") == 3 + 8  # curves of three metrics, and what changed from round to round


def test_correlation_within_a_prompt():
    found = within_prompt(
        torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [1.0, 1.0, 1.0]]).numpy(),
        torch.tensor([[5.0, 6.0, 90.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]).numpy(),
    )
    assert found[:2] == pytest.approx([1.0, -1.0])
    assert found[2] != found[2]  # nothing to order


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 1}, "--n must be at least 2"),
        ({"budget": 0}, "--budget"),
        ({"validation": 0.0}, "--validation must lie between 0 and 1, got 0.0"),
        ({"replay_share": 1.0}, r"--replay_share must lie in \[0, 1\), got 1.0"),
        ({"ensemble": 1}, "--ensemble must be at least 2, got 1"),
        ({"judges": "loudness"}, "--judges are for held-out prompts: give --held_out too"),
        ({"output": Path("a,b")}, "--output a,b must not hold a comma"),
        ({"weights": "lab-cmi-rm.musicality=1"}, "the reward of each round has another name"),
    ],
)
def test_options_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        RewardLoop(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": 10}, "--budget 10 in 2 rounds: 3 prompts of 4 candidates have 18 pairs"),
        ({"budget": 1}, "--budget 1 is too small for a share of 0.2 that only measures"),
        ({"limit": 1}, "the loop needs at least 2 prompts"),
        ({"reward": "loudness", "weights": "loudness=1"}, "--reward loudness is no CMI-RM"),
        ({"reward": "lab-cmi-rm,loudness"}, "are several scorers, and only one is trained further"),
        ({"acquisition": "disagreement"}, "--acquisition disagreement needs several heads"),
        ({"policy": "algorithm=nft"}, "nft"),
        (
            {"policy": "reward=loudness"},
            "--policy reward: is no option of post-training, or the loop decides it",
        ),
        ({"policy": "speed=1"}, "--policy speed: is no option of post-training"),
        ({"held_out": "lab-train"}, "--held_out lab-train: prompt 'train-00' is one of --prompts"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_made(tmp_path, changes, message):
    asked = {"prompts": "lab-train", "limit": 3, "n": 4, "budget": 6, "output": tmp_path / "out", **changes}
    with pytest.raises(InputError, match=message):
        main(RewardLoop(**asked))
    assert not (tmp_path / "out" / "pool").exists()


@pytest.fixture
def learning(options, tmp_path):
    """Return the options of a loop whose generator learns too."""
    rows = Path("assets/lab/prompts_choosing.jsonl").read_text().splitlines(keepends=True)[:2]
    (tmp_path / "held_out.jsonl").write_text("".join(rows))
    policy = (
        "algorithm=expert_iteration,steps=2,learning_rate=0.05,n=2,batch_size=2,micro_batch_size=2,samples=1"
    )
    held_out = {"held_out": str(tmp_path / "held_out.jsonl"), "held_out_n": 2}
    return replace(options, policy=policy, judges="experiments.lab.gold:GoldB", **held_out)


@pytest.mark.slow
def test_a_generator_learns_from_each_reward_and_the_next_round_asks_about_its_clips(
    learning, tmp_path, monkeypatch
):
    main(learning)
    first, second = (learning.output / "rounds" / f"{index}" for index in range(2))
    specs = [{one.spec for one in Pool(place)} for place in (learning.output / "pool", second / "pool")]
    assert specs[0] != specs[1]
    assert rows_of(second / "answers.jsonl")[0]["audio_a"].startswith("pool/audio/")
    trained = json.loads((second / "policy" / "run.json").read_text())["config"]
    assert trained["generator"] == str(first / "policy" / "model")
    assert trained["reward"] == str(second / "reward")
    weights = [
        load_file(place / "model.safetensors")
        for place in (first / "policy/model", learning.output / "policy")
    ]
    assert not same(*weights)
    start, *rounds = rows_of(learning.output / "log.jsonl")
    for row in rounds:
        assert set(row["policy"]["since_first"]) == {"gold_b_alignment", "gold_b_margin", "gold_b_musicality"}
        assert row["policy"]["by_n"]["1"] != start["held_out"]["by_n"]["1"]
    page = (learning.output / "report.html").read_text()
    assert "What judges say of the generator" in page

    killed = replace(learning, output=tmp_path / "killed")
    for name in ("pool", "embeddings"):
        shutil.copytree(learning.output / name, killed.output / name)
    for moment in ("rounds.load_sampler", "asking.policy.copy_folder", "asking.clips.load_generator"):
        with monkeypatch.context() as patched:
            patched.setattr(f"rlhf.{moment}", die)
            with pytest.raises(KeyboardInterrupt):
                main(killed)
    main(killed)
    assert same(load_file(killed.output / "policy" / "model.safetensors"), weights[1])
    for name in ("rounds/1/questions.jsonl", "rounds/1/answers.jsonl", "log.jsonl"):
        assert (killed.output / name).read_bytes() == (learning.output / name).read_bytes()


def test_the_last_layer_can_learn_alone_and_goes_on_from_a_kill_to_the_same_bits(
    options, monkeypatch, tmp_path
):
    old = tmp_path / "old" / "rows.jsonl"
    write_pairs(old, 12, 1)
    rows = rows_of(old)
    write_rows(old, [*rows, *map(rated, rows)])  # ratings are passed over
    alone = replace(options, learn=None, limit=4, replay=old)
    monkeypatch.setattr(loop_rounds, "publish", die)
    with pytest.raises(KeyboardInterrupt):
        main(alone)
    monkeypatch.undo()
    main(alone)
    other = replace(alone, output=options.output.with_name("other"))
    main(other)
    for index in range(2):
        place = alone.output / "rounds" / f"{index}"
        assert same(weights_of(place), weights_of(other.output / "rounds" / f"{index}"))
        first = load_file(asset("lab/played/taught") / "model.safetensors")
        moved = [name for name, values in weights_of(place).items() if not torch.equal(values, first[name])]
        assert moved == ["score_projector.3.weight"]
        fits = json.loads((place / "reward" / "last_layer.json").read_text())
        assert set(fits) == {"musicality", "alignment"}
    load_scorer(alone.output / "reward", device="cpu")
    with pytest.raises(InputError, match="of 2 prompts the last layer would learn of one alone"):
        main(replace(alone, limit=2, replay=None, output=options.output.with_name("two")))
    with pytest.raises(InputError, match="--learn last_layer is for a reward of one head"):
        main(replace(alone, learn="last_layer", ensemble=2, output=options.output.with_name("several")))

"""The rounds of asking and learning: each begins with the reward that the round before has left.

In the folder of a round lie, each written whole and never again,

    questions.jsonl                     the pairs that were chosen (`rlhf.asking.questions`)
    answers.jsonl                       what was said of them, as rows of `reward.judgements`
    train.jsonl, validation.jsonl       what is learned, and what only measures (`rlhf.asking.learning`)
    reward/                             the reward that has learned it
    round.json                          what was measured of it; the round is done
    policy/, policy.json                the generator that has learned from it, where one does (`rlhf.asking.policy`)

`rounds/start.json` has what was measured of the reward that the first round began with.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from music.durable import write_text
from music.errors import InputError
from music.files import read_object
from music.hashing import candidate_seed
from music.intervals import Array
from music.jsonl import dump_line
from music.options import read_options
from music.paths import is_file
from music.processes import Processes
from reward import RewardWeights, Scorer, ScoreRequest, load_scorer
from reward.cmi_rm.checkpoint import is_checkpoint
from reward.cmi_rm.head import COLUMNS
from reward.cmi_rm.last_layer import heads_of, last_layer
from reward.judgements import HEADS, Preference, load_preferences
from reward.scoring.candidates import score_candidates
from reward.training.stored_frames import FrameFolder
from rlhf.asking.acquisition import ACQUISITIONS, Insight, Known, Pair
from rlhf.asking.clips import Clips
from rlhf.asking.learning import (
    REWARD,
    Replay,
    learn,
    learn_by_last_layer,
    learns_by_last_layer,
    publish,
    write_rows,
)
from rlhf.asking.measuring import HeldOut, agreement, agreement_of
from rlhf.asking.options import RewardLoop
from rlhf.asking.policy import MEASURED, POLICY, Policy
from rlhf.asking.questions import Answer, Question, read_questions, write_answers, write_questions
from rlhf.asking.schedule import Schedule
from rlhf.asking.studies import has_answers, read_answers, what_to_do, write_pairs

QUESTIONS, ANSWERS, ROUND, START = "questions.jsonl", "answers.jsonl", "round.json", "start.json"


@dataclass(frozen=True, eq=False)
class Rounds:
    """What a loop does, round by round; what is done is not done again.

    Attributes
    ----------
    options
        Options of the run.
    clips
        What returns the clips of a round.
    schedule
        How many questions each prompt has.
    source, first
        The reward that the first round begins with: its folder, and the scorer.
    reward
        Weights of the reward's metrics.
    replay
        Older rows, if there are any.
    held_out
        What compares rewards with judges, if anything does.
    policy
        What trains the generator, if anything does.
    frames
        Where rewards keep what their towers give, as the training does.
    processes
        The process of the run.
    """

    options: RewardLoop
    clips: Callable[[int], Clips]
    schedule: Schedule
    source: Path
    first: Scorer
    reward: RewardWeights
    replay: Replay | None
    held_out: HeldOut | None
    policy: Policy | None
    frames: FrameFolder
    processes: Processes

    def run(self) -> str | None:
        """Do all rounds; return what the run waits for if people have yet to answer."""
        source = self.source
        scorer: Scorer | None = self.first
        self.frames.lend(self.first)
        self._measure_start(self.first)
        for index in range(self.options.rounds):
            place = self.options.place(index)
            if not is_file(place / ROUND):
                scorer = scorer or self._load(source, index - 1)
                if waits := self._ask(index, place, scorer):
                    return waits
                answers = [self.options.place(one) / ANSWERS for one in range(index + 1)]
                write_rows(place, answers, self.replay, self.options.replay_share, index)
                self.frames.flush()
                if learns_by_last_layer(self.options, self.source):
                    learn_by_last_layer(self.options, self.source, place, self.frames)
                else:
                    learn(self.options, source, place, index)
                publish(place / REWARD, self.options.output / REWARD)
                learned = self._load(place / REWARD, index)
                self._measure(place, index, scorer, learned)
                scorer = learned
            else:
                scorer = None
            source = place / REWARD
            if self.policy is not None:
                self.policy.follow(index, loadable(source), partial(self._load, source, index))
        return None

    def _load(self, source: Path, index: int) -> Scorer:
        options = self.options
        own = {"name": name_of(index), **read_options(options.reward_options)}
        scorer = load_scorer(loadable(source), options.device, options.dtype, **own)
        self.frames.lend(scorer)
        return scorer

    def _ask(self, index: int, place: Path, scorer: Scorer) -> str | None:
        """Choose pairs and get them answered; return what it waits for if people have yet to answer."""
        if not is_file(place / QUESTIONS):
            write_questions(place / QUESTIONS, self._choose(index, scorer))
        questions = read_questions(place / QUESTIONS)
        if is_file(place / ANSWERS):
            return None
        answers: list[Answer]
        clips = self.clips(index)
        if clips.raters is not None:
            answers = clips.raters.answer(questions)
        else:
            study = Path(self.options.raters) / f"round-{index}"
            if not has_answers(study):
                write_pairs(study, questions, clips.pool, clips.by_prompt)
                return what_to_do(study, len(questions), self.options.seconds)
            answers = read_answers(study, questions, clips.by_prompt)
            if len({answer.question.held_out for answer in answers}) < 2:
                raise InputError(
                    f"{study}: its {len(answers)} answers are all about prompts that only measure, or none is: get more"
                )
        write_answers(place / ANSWERS, answers, clips.pool, clips.by_prompt)
        return None

    def _choose(self, index: int, scorer: Scorer) -> list[Question]:
        seed, due = candidate_seed(self.options.seed, "asking", index), self.schedule.counts(index)
        clips = self.clips(index)
        metrics = score_candidates([scorer], clips.pool, clips.candidates, self.processes)
        rewards, asked = self.reward(metrics), self._asked(index)
        questions: list[Question] = []
        stream = random.Random(f"sides {seed}")
        for held_out in (False, True):
            places = [
                place
                for place, row in enumerate(clips.candidates)
                if (row[0].prompt_id in self.schedule.held_out) == held_out
            ]
            ids = [clips.candidates[place][0].prompt_id for place in places]
            insight = partial(self._insight, scorer, clips, places)
            known = Known(ids, rewards[places], [asked[one] for one in ids], insight)
            name = "random" if held_out else acquisition_of(self.options, scorer)
            chosen = ACQUISITIONS[name](known, [due[one] for one in ids], seed)
            for prompt, pairs in zip(ids, chosen, strict=True):
                for pair in pairs:
                    a, b = pair if stream.random() < 0.5 else pair[::-1]
                    questions.append(Question(f"{index}-{len(questions):05d}", prompt, a, b, held_out))
        return questions

    def _insight(self, scorer: Scorer, clips: Clips, places: Sequence[int]) -> Insight:
        """Return the insight of the reward into the candidates of some prompts."""
        chosen = [one for place in places for one in clips.candidates[place]]
        requests = [ScoreRequest(clips.pool.path(one), clips.pool.prompt(one)) for one in chosen]
        found, shape = last_layer(scorer, requests), (len(places), self.options.n)
        named = [name for name in COLUMNS if self.reward.weights.get(name)] or list(COLUMNS)
        weights = np.array([self.reward.weights.get(name, 0.0) for name in named])
        of_heads: Array = found.scores[..., [COLUMNS[name] for name in named]]
        return Insight(
            (of_heads @ weights).reshape(-1, *shape),
            found.features.reshape(*shape, -1),
            of_heads.mean(axis=0).reshape(*shape, -1),
        )

    def _asked(self, index: int) -> Mapping[str, set[Pair]]:
        """Return the pairs of these clips that were asked about in the rounds before, by prompt id."""
        clips = self.clips(index)
        found: dict[str, set[Pair]] = {name: set() for name in clips.by_prompt}
        for before in [one for one in range(index) if self.clips(one) is clips]:
            for one in read_questions(self.options.place(before) / QUESTIONS):
                found[one.prompt_id].add((min(one.a, one.b), max(one.a, one.b)))
        return found

    def _measure_start(self, scorer: Scorer) -> None:
        """Measure the first reward, which later ones are compared with."""
        path = self.options.place(0).with_name(START)
        found = {"held_out": self.held_out.measure(scorer)} if self.held_out else {}
        if not is_file(path):
            if self.replay is not None:
                found["replay"] = agreement_of(scorer, self.replay.held_out)
            write_text(path, dump_line({"round": "start", **found}))

    def _measure(self, place: Path, index: int, before: Scorer, learned: Scorer) -> None:
        """Write what is found of the reward that has learned in a round, and of that before it."""
        rows = [self._answered(one) for one in range(index + 1)]
        flat = [row for of_round in rows for row in of_round]
        row: dict[str, Any] = {
            "round": index,
            "reward_hash": learned.hash,
            "acquisition": acquisition_of(self.options, before),
            "answers": len(load_preferences(place / ANSWERS)),
            "before": agreement(flat, self._differences(before, rows)),
            "after": agreement(flat, self._differences(learned, rows)),
        }
        if self.replay is not None:
            row["replay"] = agreement_of(learned, self.replay.held_out)
        if self.held_out is not None:
            row["held_out"] = self.held_out.measure(learned)
        write_text(place / ROUND, dump_line(row))

    def _answered(self, index: int) -> list[Preference]:
        """Return the answers of a round that nothing is learned from."""
        rows = load_preferences(self.options.place(index) / ANSWERS)
        return [row for row in rows if row.prompt.facts["held_out"]]

    def _differences(self, scorer: Scorer, rows: Sequence[Sequence[Preference]]) -> dict[str, list[float]]:
        """Return for each head a reward's score of a - score of b for each answer about held-out prompts, by rounds."""
        found: dict[str, list[float]] = {head: [] for head in HEADS}
        for index, of_round in enumerate(rows):
            clips = self.clips(index)
            held = [row for row in clips.candidates if row[0].prompt_id in self.schedule.held_out]
            metrics = score_candidates([scorer], clips.pool, held, self.processes)
            places = {row[0].prompt_id: place for place, row in enumerate(held)}
            for row in of_round:
                facts = row.prompt.facts
                for head in HEADS:
                    scores = metrics[head][places[facts["prompt_id"]]]
                    found[head].append(float(scores[facts["candidate_a"]] - scores[facts["candidate_b"]]))
        return found


def loadable(source: Path) -> str:
    """Return the name by which `load_scorer` takes the reward in a folder."""
    return str(source) if is_checkpoint(source) else f"ensemble:{source}"


def name_of(index: int) -> str:
    """Return what tables call the reward that has learned in a round."""
    return f"round-{index}"


def acquisition_of(options: RewardLoop, scorer: Scorer) -> str:
    """Return the idea by which a reward chooses pairs: at random where several heads are needed and it has one."""
    lacks = options.acquisition == "disagreement" and len(heads_of(scorer)) < 2
    return "random" if lacks else options.acquisition


def log_of(options: RewardLoop) -> list[dict[str, Any]]:
    """Return what was measured of the first reward, then of that of each round and of the generator it trained."""
    rows = []
    for path in [
        options.place(0).with_name(START),
        *(options.place(one) / ROUND for one in range(options.rounds)),
    ]:
        if is_file(path):
            trained = path.with_name(MEASURED)
            found = {POLICY: dict(read_object(trained))} if path.name == ROUND and is_file(trained) else {}
            rows.append({**read_object(path), **found})
    return rows

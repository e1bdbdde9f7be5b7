"""What a reward learns in a round: the answers of all rounds so far, and older rows so that they are not forgotten."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from music.durable import finished_folder, write_json, write_text
from music.errors import InputError
from music.hashing import candidate_seed
from music.jsonl import dump_line
from music.options import read_options
from music.paths import exists, is_file
from reward import load_scorer, train
from reward.cmi_rm.checkpoint import CONFIG, WEIGHTS, is_checkpoint, load_head, save_checkpoint
from reward.cmi_rm.ensemble import head_folders
from reward.judgements import Preference, load_judgements
from reward.registry import model_folder
from reward.training.config import TrainConfig
from reward.training.continuing import continued
from reward.training.embeddings import audio_keys
from reward.training.last_layer import learn_last_layer
from reward.training.stored_frames import FrameFolder
from reward.training.trainer import model_name
from rlhf.asking.options import RewardLoop
from rlhf.asking.questions import read_rows

TRAIN, VALIDATION, REWARD = "train.jsonl", "validation.jsonl", "reward"
_MOST_HELD = 400  # older preferences that measure, at most


class Replay:
    """Older rows: some preferences that only measure, and others to draw from that share no clip with them.

    Parameters
    ----------
    path
        File of preferences and ratings.
    share
        Share of the rows that measures, up to 400 of them.
    seed
        Seed of all that is drawn.
    memory
        Folder that remembers hashes of audio.

    Attributes
    ----------
    held_out
        Preferences that nothing is learned from.

    Raises
    ------
    InputError
        If a row is bad, or there are no preferences to measure with beside others to learn from.
    """

    def __init__(self, path: Path, share: float, seed: int, memory: Path) -> None:
        self._path, self._seed = path, seed
        rows = load_judgements(path)
        keys = audio_keys([file for row in rows for file in row.audio], memory)
        places = [place for place, row in enumerate(rows) if isinstance(row, Preference)]
        count = min(_MOST_HELD, max(1, round(share * len(rows))), len(places))
        held = sorted(random.Random(f"replay {seed}").sample(places, count))
        heard = {keys[file] for place in held for file in rows[place].audio}
        self._held = held
        self._free = [
            place for place, row in enumerate(rows) if not any(keys[file] in heard for file in row.audio)
        ]
        self.held_out: list[Preference] = [row for row in _at(rows, held) if isinstance(row, Preference)]
        if not held or not self._free:
            raise InputError(
                f"--replay {path}: of its {len(rows)} rows, {len(held)} preferences measure and {len(self._free)} "
                "share no clip with them: give a larger file, or another --validation"
            )

    def drawn(self, count: int, index: int, folder: Path) -> list[dict[str, Any]]:
        """Return so many rows to learn from in a round, all if there are not as many; paths as `read_rows`."""
        stream = random.Random(f"replay {self._seed} {index}")
        chosen = sorted(stream.sample(self._free, min(count, len(self._free))))
        return self._named(chosen, folder)

    def measuring(self, folder: Path) -> list[dict[str, Any]]:
        """Return the rows of `held_out`; paths as `read_rows`."""
        return self._named(self._held, folder)

    def _named(self, places: Sequence[int], folder: Path) -> list[dict[str, Any]]:
        rows = read_rows(self._path, folder)
        return [row | {"id": f"replay-{row['id']}"} for row in _at(rows, places)]


def _at(rows: Sequence[Any], places: Sequence[int]) -> list[Any]:
    return [rows[place] for place in places]


def write_rows(place: Path, answers: Sequence[Path], replay: Replay | None, share: float, index: int) -> None:
    """Write what a round learns from, and what it is measured on beside.

    Parameters
    ----------
    place
        Folder of the round.
    answers
        Answers of all rounds so far.
    replay
        Older rows, if there are any.
    share
        Share of the rows to learn from that is drawn from them.
    index
        Which round it is.
    """
    rows = [row for path in answers for row in read_rows(path, place)]
    learned = [row for row in rows if not row["facts"]["held_out"]]
    held = [row for row in rows if row["facts"]["held_out"]]
    if replay is not None:
        learned += replay.drawn(round(len(learned) * share / (1 - share)), index, place)
        held += replay.measuring(place)
    for name, part in ((VALIDATION, held), (TRAIN, learned)):
        write_text(place / name, "".join(map(dump_line, part)))


def training(options: RewardLoop, source: Path, place: Path, index: int) -> TrainConfig:
    """Return the options by which the reward in a folder goes on in a round; `InputError` if it cannot."""
    heads = 1 if is_checkpoint(source) else len(head_folders(source))
    if heads > 1 and options.ensemble not in (None, heads):
        raise InputError(
            f"--ensemble {options.ensemble}: the reward {source} has {heads} heads, leave it out"
        )
    seconds = read_options(options.reward_options).get("max_seconds", TrainConfig.max_seconds)
    return continued(
        source,
        train=str(place / TRAIN),
        validation=str(place / VALIDATION),
        output=str(place / REWARD),
        embeddings=str(options.frames),
        ensemble=options.ensemble or (heads if heads > 1 else None),
        steps=options.steps,
        warmup_steps=options.steps // 10,
        learning_rate=options.learning_rate,
        batch_size=options.batch_size,
        evaluate_every=options.steps,  # the reward after the last step: nothing is chosen by held-out answers
        patience=0,
        checkpoint_every=25,
        max_seconds=seconds,
        seed=candidate_seed(options.seed, "learning", index),
        device=options.device,
    )


def start(options: RewardLoop) -> Path:
    """Return the folder of the reward that the first round begins with.

    Raises
    ------
    InputError
        If it cannot be trained, or has and gets a single head where pairs are chosen by disagreement.
    """
    source = model_folder(options.reward)
    config = training(options, source, options.output, 0)
    if options.learn == "last_layer" and not _one_head_of_scores(config):
        raise InputError(
            "--learn last_layer is for a reward of one head that gives scores: use --learn heads"
        )
    if options.acquisition == "disagreement" and config.ensemble is None:
        raise InputError("--acquisition disagreement needs several heads, which differ: give --ensemble 4")
    return source


def learns_by_last_layer(options: RewardLoop, source: Path) -> bool:
    """Return whether the reward in a folder learns by its last layer alone."""
    if options.learn is None:
        return _one_head_of_scores(training(options, source, options.output, 0))
    return options.learn == "last_layer"


def _one_head_of_scores(config: TrainConfig) -> bool:
    return config.ensemble is None and config.rating_levels is None


def learn(options: RewardLoop, source: Path, place: Path, index: int) -> None:
    """Let the reward in a folder learn the rows of a round; what is done is not done again."""
    config = training(options, source, place, index)
    if not is_file(Path(config.output) / "run.json"):
        train.main(config)


def learn_by_last_layer(options: RewardLoop, source: Path, place: Path, frames: FrameFolder) -> None:
    """Let the last layer of the reward in a folder learn the rows of a round; what is done is not done again.

    Parameters
    ----------
    source
        Folder of the reward of before any round: as rows of all rounds are learned from, it has seen none of them.
    frames
        Where the reward keeps what its towers give.
    """
    if exists(place / REWARD):
        return
    scorer = load_scorer(str(source), options.device, **read_options(options.reward_options))
    frames.lend(scorer)
    rows = load_judgements(place / TRAIN)
    head, fits = learn_last_layer(scorer, [row for row in rows if isinstance(row, Preference)])
    config = replace(head.config, model_name=model_name(training(options, source, place, 0)))
    with finished_folder(place / REWARD) as folder:
        save_checkpoint(folder, config, head, load_head(source)[1])
        learned = {
            name: {"strength": one.strength, "cross_entropy": one.cross_entropy, "answers": one.answers}
            for name, one in fits.items()
        }
        write_json(folder / "last_layer.json", learned)


def publish(source: Path, folder: Path) -> str:
    """Copy the models of a training's folder and return the name by which `--reward` takes the copy."""
    single = is_checkpoint(source)
    with finished_folder(folder) as part:
        for head in [source] if single else head_folders(source):
            target = part / head.relative_to(source)
            target.mkdir(exist_ok=True)
            for name in (CONFIG, WEIGHTS):
                shutil.copy(head / name, target / name)
    return str(folder) if single else f"ensemble:{folder}"

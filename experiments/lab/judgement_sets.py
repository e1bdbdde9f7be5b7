"""Writes sets of human judgements about the lab's songs, in the layouts of the published ones.

    python -m experiments.lab.judgement_sets --output runs/lab/sets
    python -m experiments.lab.judgement_sets --only CMI-RewardBench     # what `python -m reward.benchmark` scores

    CMI-Pref-Pseudo/train.jsonl                 labels in which a judge agrees with itself (`hearing.py`)
    CMI-Pref-Pseudo/train_unfiltered.jsonl      its first answers, about all pairs that it was asked about
    CMI-Pref-Pseudo/validation*.jsonl           the same for other pairs
    CMI-Pref/train.jsonl, validation.jsonl      preferences of one listener each, with confidence (`listeners.py`)
    MusicEval-full/                             mean opinions of five listeners, with splits and prompts
    CMI-RewardBench/all_test.jsonl              what models are tested on: rows of all four sources, 5 to 40 s long

`python -m reward.data prepare` reads them as it reads the published ones. The benchmark has 1,000 pairs of each of four
modalities like CMI-Pref's test set, 1,340 battles with one vote like Music Arena, and 500 and 413 rated clips like PAM
and MusicEval. Every tenth pair has a second row with another listener's vote, and pairs name as `model_a` and `model_b`
what has damaged their clips most. Its songs are those of the held-out pairs, or belong to the test split as they do.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from experiments.lab.judgements.pairs import CONDITIONS
from experiments.lab.judgements.published_rows import (
    battle,
    benchmark_preference,
    benchmark_rating,
    judged_pair,
    musiceval_row,
    published_label,
    released_preference,
)
from experiments.lab.options import Suite, Workers
from experiments.lab.world.coded_audio import shipped_codec
from experiments.lab.world.rendering import RENDERING
from experiments.running import spread
from generators.musicgen.spectral_codec import SpectralCodecModel
from music.command import run
from music.durable import claim_work, write_text
from music.errors import InputError
from music.jsonl import dump_line
from reward.cmi_rm.weights import hash_tensors
from reward.judge.consistency import label_of_pair
from reward.judgements import HEADS

FRESH = 100_000  # first index of the pairs that people hear to train on: no other training hears them
TWICE = 10  # every so many pairs of the benchmark are heard by two listeners
CHUNK = 20  # rows that a process takes at a time
#: pairs of each modality, battles, rated clips
SIZES = {
    "CMI-Pref-Pseudo": 2_500,
    "CMI-Pref-Pseudo validation": 200,
    "CMI-Pref": 1_000,
    "CMI-Pref validation": 200,
    "CMI-Pref test": 1_000,
    "Music Arena": 1_340,
    "MusicEval train": 2_000,
    "MusicEval": 413,
    "PAM": 500,
}
#: clips of each set and their size in GB, extrapolated from a part
CLIPS = {
    "CMI-Pref-Pseudo": (27_500, 6.2),
    "CMI-Pref": (12_500, 2.6),
    "MusicEval-full": (2_400, 0.8),
    "CMI-RewardBench": (14_200, 3.4),
}
Make = Callable[[Callable[..., dict], Sequence[Any], str], list[dict]]


@dataclass(frozen=True)
class WriteSets(Suite, Workers):
    """Write sets of human-like judgements in the layouts of the published ones.

    Parameters
    ----------
    output
        Folder for the sets; audio that is there is kept.
    only
        Set to make: CMI-Pref-Pseudo, CMI-Pref, MusicEval-full or CMI-RewardBench; all by default.
    share
        Share of each set that is made, above 0 and at most 1.
    """

    LIBRARIES: ClassVar = (RENDERING,)

    output: Path = Path("runs/lab/sets")
    only: str = ""
    share: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise InputError(f"--share must be above 0 and at most 1, got {self.share}")
        if self.only not in ("", *_SETS):
            raise InputError(f"--only must be one of {', '.join(_SETS)}, got {self.only!r}")


def main(options: WriteSets) -> None:
    """Say how long it takes and how large the sets will be, write them, and say where they are."""
    codec = shipped_codec(options.suite)
    claim_work(options.output, codec=hash_tensors(codec.state_dict()), share=options.share)
    make = partial(_made, options.workers, codec)
    wanted = [name for name in _SETS if options.only in ("", name)]
    clips, gigabytes = (sum(numbers) for numbers in zip(*(CLIPS[name] for name in wanted), strict=True))
    options.announce(", ".join(wanted), options.share * clips, options.share * gigabytes)
    count = {name: max(1, round(size * options.share)) for name, size in SIZES.items()}
    for name in wanted:
        _SETS[name](options.output / name, count, make)
    print(options.output)


def _made(
    workers: int, codec: SpectralCodecModel, work: Callable[..., dict], wanted: Sequence[Any], name: str
) -> list[dict]:
    """Return the rows that `work` makes, in order."""
    return spread(partial(work, codec), wanted, workers, name, CHUNK)


def _write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_text(path, "".join(map(dump_line, rows)))


def write_pseudo(folder: Path, count: Mapping[str, int], make: Make) -> None:
    """Write pairs, so many of each modality, with the labels of a judge that is asked in both orders."""
    for split, name in (("train", "CMI-Pref-Pseudo"), ("validation", "CMI-Pref-Pseudo validation")):
        wanted = [(split, kind, index) for kind in CONDITIONS for index in range(count[name])]
        judged = make(partial(judged_pair, folder), wanted, f"CMI-Pref-Pseudo {split}")
        for file, keep in {split: "consistent", f"{split}_unfiltered": "original"}.items():
            rows = []
            for one in judged:
                labels = {head: label_of_pair(one["verdicts"], head, keep) for head in HEADS}
                if any(labels.values()):
                    named = {f"preference-{head}": published_label(label) for head, label in labels.items()}
                    rows.append(one["row"] | named)
            _write_rows(folder / f"{file}.jsonl", rows)


def write_released(folder: Path, count: Mapping[str, int], make: Make) -> None:
    """Write preferences of people, to train on."""
    for split, name in (("train", "CMI-Pref"), ("validation", "CMI-Pref validation")):
        wanted = [(split, kind, FRESH + index) for kind in CONDITIONS for index in range(count[name])]
        rows = make(partial(released_preference, folder), wanted, f"CMI-Pref {split}")
        _write_rows(folder / f"{split}.jsonl", rows)


def write_benchmark(folder: Path, count: Mapping[str, int], make: Make) -> None:
    """Write rows of all four sources, which say that they are not the published ones."""
    pairs = [("test", kind, index) for kind in CONDITIONS for index in range(count["CMI-Pref test"])]
    again = [one for one in pairs if one[2] % TWICE == 0]
    battles = [("test", CONDITIONS[index % 4], FRESH + index) for index in range(count["Music Arena"])]
    second = partial(benchmark_preference, folder, listener=2)
    rows = [
        *make(partial(benchmark_preference, folder), pairs, "CMI-Pref test"),
        *make(partial(battle, folder), battles, "Music Arena"),
        *make(partial(benchmark_rating, folder, "PAM"), range(count["PAM"]), "PAM"),
        *make(partial(benchmark_rating, folder, "MusicEval"), range(count["MusicEval"]), "MusicEval"),
        *make(second, again, "CMI-Pref test, second votes"),
    ]
    _write_rows(
        folder / "all_test.jsonl", (row | {"made_by": "experiments.lab.judgement_sets"} for row in rows)
    )


def write_musiceval(folder: Path, count: Mapping[str, int], make: Make) -> None:
    """Write the lists, prompts and audio of MusicEval's own layout."""
    prompts = ["id\ttext"]
    for split, name in (("train", "MusicEval train"), ("test", "MusicEval")):
        rows = make(partial(musiceval_row, folder, split), range(count[name]), f"MusicEval {split}")
        lines = [f"{row['file']},{row['musicality']},{row['alignment']}" for row in rows]
        write_text(folder / "sets" / f"{split}_mos_list.txt", "\n".join(lines) + "\n")
        prompts += [f"{row['prompt']}\t{row['text']}" for row in rows]
    write_text(folder / "prompt_info.txt", "\n".join(prompts) + "\n")


_SETS = {
    "CMI-Pref-Pseudo": write_pseudo,
    "CMI-Pref": write_released,
    "MusicEval-full": write_musiceval,
    "CMI-RewardBench": write_benchmark,
}


if __name__ == "__main__":
    run(main, WriteSets)

"""The lab's sets of judgement as rows and embeddings."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import reward.embed
from experiments.lab.judgements.pairs import pair_called
from experiments.running import cores, run_command
from music.durable import write_text
from music.errors import InputError
from music.hashing import sha256_file
from music.jsonl import dump_line, read_jsonl
from reward.data.prepare import Format, Prepare
from reward.data.prepare import main as prepare
from reward.judgements import HEADS

#: name -> layout, place in the folder of sets, part; what shares something with the first is left out of the others
SETS: dict[str, tuple[Format, str, str]] = {
    "test": ("cmi", "CMI-RewardBench/all_test.jsonl", ""),
    "pseudo": ("cmi", "CMI-Pref-Pseudo/train.jsonl", ""),
    "pseudo_validation": ("cmi", "CMI-Pref-Pseudo/validation.jsonl", ""),
    "unfiltered": ("cmi", "CMI-Pref-Pseudo/train_unfiltered.jsonl", ""),
    "unfiltered_validation": ("cmi", "CMI-Pref-Pseudo/validation_unfiltered.jsonl", ""),
    "pref": ("cmi", "CMI-Pref/train.jsonl", ""),
    "rating": ("music_eval", "MusicEval-full", "train"),
    "validation": ("cmi", "CMI-Pref/validation.jsonl", ""),
}


@dataclass(frozen=True)
class LabData:
    """Rows and embeddings of the lab's sets."""

    sets: Path  # folder that `experiments.lab.judgement_sets` wrote
    folder: Path  # folder for rows and embeddings
    towers: str  # MuQ-MuLan that encodes them

    @property
    def embeddings(self) -> Path:
        """Folder of embeddings."""
        return self.folder / "embeddings"

    def rows(self, name: str) -> Path:
        """Return the file of a set of `SETS`, or of as many of its rows as a name such as "pseudo-1000" says."""
        whole, _, count = name.partition("-")
        path = self.folder / whole / "rows.jsonl"
        return path.with_name(f"rows-{count}.jsonl") if count else path

    def prepare(self) -> None:
        """Write the rows of all sets and encode what they name; what is there is not made again."""
        for name, (layout, place, split) in SETS.items():
            if not (self.folder / name / "run.json").exists():
                against = "" if name == "test" else str(self.rows("test"))
                source = str(self.sets / place)
                prepare(Prepare(layout, source, self.folder / name, split=split, benchmark=against))
        done = self.folder / "encoded"
        if done.exists():
            return
        files = [str(self.rows(name)) for name in SETS]
        options = {"output": self.embeddings, "towers": self.towers, "embedding_dtype": "float16"}
        run_command(reward.embed.__file__, options, files, processes=cores())
        write_text(done, "")

    def hashes(self) -> dict[str, str]:
        """Return what the lists of the sets hold, for `claim_work`."""
        lists = sorted({*self.sets.glob("*/*.jsonl"), *self.sets.glob("*/sets/*.txt")})
        return {str(path.relative_to(self.sets)): sha256_file(path) for path in lists}

    def take(self, name: str) -> Path:
        """Write the rows of a name such as "pseudo-1000", drawn from the whole, and return the file."""
        path = self.rows(name)
        whole, _, count = name.partition("-")
        if count and not path.exists():
            rows = [row for _, row in read_jsonl(self.rows(whole))]
            if int(count) > len(rows):
                raise InputError(f"{self.rows(whole)} has {len(rows)} rows, not {count}: write larger sets")
            chosen = np.random.default_rng(0).permutation(len(rows))[: int(count)]
            write_text(path, "".join(dump_line(rows[index]) for index in sorted(chosen)))
        return path


def label_accuracy(rows: Path) -> dict[str, tuple[int, int]]:
    """Return for each head how many labels of pseudo-labelled rows are true, and how many there are."""
    counts = {head: (0, 0) for head in HEADS}
    for _, row in read_jsonl(rows):
        truth, _ = pair_called(Path(row["audio_a"]).stem.removesuffix("-a"))
        for head in HEADS:
            label = row.get(f"preference_{head}")
            if label in ("a", "b"):
                right, known = counts[head]
                counts[head] = right + (label == truth[f"preference_{head}"]), known + 1
    return counts

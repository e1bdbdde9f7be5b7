"""What a head scores on the lab's benchmark, row by row, and how well that agrees with people."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from experiments.ablations.lab_data import LabData
from music.clips import Clip, read_clip, read_header, write_clip
from music.durable import write_bytes
from music.hashing import sha256_text
from music.intervals import Array, Estimate
from music.prompts import Prompt
from reward.baselines.windowed import PIECE, spans
from reward.cmi_rm.checkpoint import load_head, load_towers
from reward.cmi_rm.head import ALIGNMENT, MUSICALITY, RewardHead
from reward.cmi_rm.locations import Locator
from reward.judgements import Judgement, Preference, Rating, audio_of, load_judgements, texts_of
from reward.training.batches import JudgementData
from reward.training.embeddings import EmbeddingStore, Key, audio_keys, fill_store
from reward.training.validation import scores_of

RESAMPLES = 1_000
COLUMNS = {"musicality": MUSICALITY, "alignment": ALIGNMENT}
#: of pairs: the share ordered as people did, and minus the logarithm of the chance given to what people said
PAIR_METRICS = ("musicality", "alignment", "arena", "human", "cross_entropy")
#: of clips: Spearman's correlation with ratings
CLIP_METRICS = ("PAM musicality", "PAM alignment", "MusicEval musicality")
#: pieces in which a clip may be heard, as appendix F.2 of the paper compares them
WINDOWS = ("first10", "mean10", "full")


@dataclass(frozen=True)
class View:
    """How a head is tested."""

    prompt: bool = True  # whether the head knows the prompt
    window: str = ""  # one of `WINDOWS`, which tests only pairs longer than a window; "" for whole clips

    @property
    def name(self) -> str:
        """Return a name for files."""
        return "-".join(["test", *["no_prompt"] * (not self.prompt), *[self.window] * bool(self.window)])


class Benchmark:
    """The lab's CMI-RewardBench, with its rows and embeddings."""

    def __init__(self, data: LabData) -> None:
        self._data = data
        rows = load_judgements(data.rows("test"))
        # the first vote on each pair: some have another, for how far people agree
        self.pairs = list({row.audio: row for row in reversed(rows) if isinstance(row, Preference)}.values())[
            ::-1
        ]
        self.clips = [row for row in rows if isinstance(row, Rating)]
        self._towers = load_towers(data.towers, Locator())
        self._store = EmbeddingStore(data.embeddings, self._towers.hash, "float16", in_memory=True)
        self._keys: dict[Path, Key] = {}

    def scores(self, folder: Path, view: View) -> tuple[Array, Array]:
        """Return the score of a minus that of b of every pair `[P, 2]`, and the score of every rated clip `[R, 2]`.

        They are kept beside the model. In a window there are no clips, and short pairs are NaN.
        """
        path = folder / f"{view.name}.npz"
        if not path.exists():
            head = load_head(folder)[0].eval()
            pairs = [_seen(row, view) for row in self.pairs]
            if view.window:
                found = self._windowed(head, pairs, view.window), np.empty((0, 2))
            else:
                rows = [*pairs, *(_seen(row, view) for row in self.clips)]
                differences, scores = scores_of(head, self._judgements(rows), 64)
                found = differences.double().numpy(), scores.double().numpy()
            buffer = io.BytesIO()
            np.savez(buffer, pairs=found[0], clips=found[1])
            write_bytes(path, buffer.getvalue())
        with np.load(path) as saved:
            return saved["pairs"], saved["clips"]

    def _windowed(self, head: RewardHead, pairs: Sequence[Judgement], window: str) -> Array:
        """Return the differences of pairs whose clips are heard window by window."""
        places: list[tuple[int, int]] = []
        rows: list[Judgement] = []
        for index, row in enumerate(pairs):
            for side, path in enumerate(row.audio):
                for part in in_windows(path, self._data.folder / "windows", window):
                    rows.append(Rating(f"{index}-{side}-{len(rows)}", row.prompt, part, 3.0, None))
                    places.append((index, side))
        sums, counts = np.zeros((len(pairs), 2, 2)), np.zeros((len(pairs), 2, 1))
        scores = scores_of(head, self._judgements(rows), 64)[1].double().numpy()
        for (index, side), score in zip(places, scores, strict=True):
            sums[index, side] += score
            counts[index, side] += 1
        with np.errstate(invalid="ignore"):
            means = sums / counts
        return means[:, 0] - means[:, 1]

    def _judgements(self, rows: Sequence[Judgement]) -> JudgementData:
        new = [path for path in audio_of(rows) if path not in self._keys]
        self._keys |= audio_keys(new, self._data.embeddings)
        fill_store(
            self._store, self._towers, {path: self._keys[path] for path in audio_of(rows)}, texts_of(rows)
        )
        return JudgementData(rows, self._store, self._keys, 0.0)

    def values(self, scores: Array, metric: str) -> Array:
        """Return what each pair contributes to a metric `[P]`; NaN where people did not judge."""
        by_head = np.stack([self._of_head(scores[:, COLUMNS[head]], head, metric) for head in COLUMNS])
        arena = np.array([row.prompt.facts["source"] == "Music Arena" for row in self.pairs])
        if metric == "arena":
            return np.where(arena, by_head[0], np.nan)
        if metric in COLUMNS:
            return np.where(arena, np.nan, by_head[list(COLUMNS).index(metric)])
        known = ~np.isnan(by_head)
        return np.where(known.any(0), np.nansum(by_head, 0) / np.maximum(known.sum(0), 1), np.nan)

    def _of_head(self, differences: Array, head: str, metric: str) -> Array:
        sign = np.array([{"a": 1.0, "b": -1.0}.get(getattr(row, head), np.nan) for row in self.pairs])
        preferred = sign * differences
        if metric == "cross_entropy":
            return np.log1p(np.exp(-np.abs(preferred))) + np.maximum(-preferred, 0)
        return np.where(np.isnan(preferred), np.nan, (np.sign(preferred) + 1) / 2)

    def rated(self, metric: str) -> tuple[NDArray[np.int64], Array, int]:
        """Return the clips that a metric is about, their ratings, and the column of the score."""
        source, head = metric.split()
        chosen = [
            (index, value)
            for index, row in enumerate(self.clips)
            if row.prompt.facts["source"] == source and (value := getattr(row, head)) is not None
        ]
        return (
            np.array([index for index, _ in chosen]),
            np.array([value for _, value in chosen]),
            COLUMNS[head],
        )


def _seen(row: Judgement, view: View) -> Judgement:
    bare = Prompt(row.prompt.id, "", "", None, row.prompt.facts)
    return row if view.prompt else replace(row, prompt=bare)


def in_windows(path: Path, folder: Path, window: str) -> list[Path]:
    """Return the files in which a clip is heard; none for a clip that is no longer than a window.

    Parameters
    ----------
    path
        Clip to hear.
    folder
        Folder for the pieces.
    window
        ``first10`` or ``mean10`` as in `reward.baselines.windowed`, or ``full`` for the clip itself.
    """
    header = read_header(path)
    if header.samples <= PIECE * header.sample_rate:
        return []
    if window == "full":
        return [path]
    parts = spans(window, header.samples, header.sample_rate)
    names = [
        folder / f"{sha256_text(str(path.absolute()))[:24]}-{number}.flac" for number in range(len(parts))
    ]
    if not all(name.exists() for name in names):
        clip = read_clip(path)
        for name, part in zip(names, parts, strict=True):
            write_clip(name, Clip(clip.waveform[:, part], clip.sample_rate))
    return names


def resampled_mean(values: Array, seed: int = 0) -> Estimate:
    """Return the mean of `values [seeds, pairs]`, NaN left out, and its interval over seeds and pairs (bootstrap)."""
    judged = values[:, ~np.isnan(values).any(axis=0)]
    if not judged.shape[1]:
        return Estimate(np.nan)
    of_seeds, of_pairs = _times_drawn(*judged.shape, seed)
    return _interval(float(judged.mean()), ((of_seeds @ judged) * of_pairs).sum(axis=1) / judged.size)


@lru_cache(maxsize=2)
def _times_drawn(seeds: int, pairs: int, seed: int) -> tuple[Array, Array]:
    """Return how often each seed and each pair is drawn in each resample, `[RESAMPLES, seeds]` and `[..., pairs]`."""
    rng = np.random.default_rng(seed)
    found: tuple[list[Array], list[Array]] = ([], [])
    for _ in range(RESAMPLES):
        for counts, size in zip(found, (seeds, pairs), strict=True):
            counts.append(np.bincount(rng.integers(size, size=size), minlength=size).astype(float))
    return np.stack(found[0]), np.stack(found[1])


def resampled_correlation(scores: Array, ratings: Array, seed: int = 0) -> Estimate:
    """Return the mean over seeds of Spearman's correlation of `scores [seeds, clips]` with ratings, likewise."""
    rng = np.random.default_rng(seed)
    seeds, clips = scores.shape
    drawn = [(rng.integers(clips, size=clips), rng.integers(seeds, size=seeds)) for _ in range(RESAMPLES)]
    chosen, of_seeds = map(np.stack, zip(*drawn, strict=True))
    resampled = _mean_spearman(scores[of_seeds[:, :, None], chosen[:, None]], ratings[chosen])
    return _interval(float(_mean_spearman(scores, ratings)), resampled)


def _mean_spearman(scores: Array, ratings: Array) -> Array:
    """Return the mean over seeds of the correlation of scores `[..., seeds, clips]` with ratings `[..., clips]`."""
    ranks, rated = rankdata(scores, axis=-1), rankdata(ratings, axis=-1)[..., None, :]
    ranks, rated = (one - one.mean(axis=-1, keepdims=True) for one in (ranks, rated))
    norms = np.sqrt((ranks**2).sum(axis=-1) * (rated**2).sum(axis=-1))
    with np.errstate(invalid="ignore"):
        return ((ranks * rated).sum(axis=-1) / norms).mean(axis=-1)


def _interval(mean: float, resamples: Sequence[float] | Array) -> Estimate:
    low, high = np.nanquantile(resamples, [0.025, 0.975])  # some of few clips may all be the same one
    return Estimate(mean, float(low), float(high))

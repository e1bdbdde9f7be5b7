"""Several heads over the same frozen towers as one scorer: what they agree on, and how far they differ.

    --reward ensemble:runs/four     the heads in the subfolders of runs/four, written by reward/train.py --ensemble 4

A clip is heard once for all heads. The score of each metric is the mean over heads, and ``METRIC_spread`` their
standard deviation: small where the data that the heads learned from decide, large far from it. Heads that learned from
other draws of the data differ more there than in one place (Lakshminarayanan et al. 2017, Osband et al. 2016).
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from music.errors import InputError
from music.hashing import canonical_json, sha256_text
from reward.cmi_rm.checkpoint import CONFIG, WEIGHTS, checkpoints_in, load_checkpoint, load_head
from reward.cmi_rm.head import COLUMNS, RewardHead
from reward.cmi_rm.scorer import CMIRMScorer
from reward.cmi_rm.towers import MAX_SECONDS
from reward.cmi_rm.weights import hash_tensors
from reward.protocol import ScoreRequest


class HeadEnsemble(CMIRMScorer):
    """Means and standard deviations of musicality and alignment over heads.

    Parameters
    ----------
    folder
        Folder with two folders or more, each a CMI-RM over the same towers.
    name
        Name in pools and tables; that of the folder by default.
    device, dtype, max_seconds
        As of `CMIRMScorer`.

    Raises
    ------
    InputError
        If there are fewer than two heads, one is not sound or not whole, their towers differ, or only some of them give
        ratings.
    """

    def __init__(
        self,
        folder: str | Path,
        name: str | None = None,
        device: str = "auto",
        dtype: str = "float32",
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        places = head_folders(Path(folder))
        self._loaded = _load_heads(places)
        model = load_checkpoint(places[0], max_seconds, dtype)
        super().__init__(model, name or Path(folder).resolve().name, device)
        self.heads = [head.to(self.device) for head in self._loaded]
        self.metrics = (*COLUMNS, *(f"{metric}_spread" for metric in COLUMNS))

    def _hash(self, _: RewardHead) -> str:
        """Return the SHA-256 over what decides the scores of each head."""
        hashes = [CMIRMScorer._hash(self, one) for one in self._loaded]
        return sha256_text(canonical_json({"heads": hashes}))

    def _metrics(self, frames: torch.Tensor, request: ScoreRequest) -> dict[str, torch.Tensor]:
        outputs = [head.scores(self._outputs(head, frames, request))[0] for head in self.heads]
        scores = torch.stack(outputs).double()
        found = {"": scores.mean(dim=0), "_spread": scores.std(dim=0, correction=0)}
        return {
            f"{metric}{ending}": values[column]
            for ending, values in found.items()
            for metric, column in COLUMNS.items()
        }


def head_folders(folder: Path) -> Sequence[Path]:
    """Return the subfolders of an ensemble's folder that hold a head, by name.

    Raises
    ------
    InputError
        If there are fewer than two, or one has lost a file.
    """
    places = checkpoints_in(folder)
    if len(places) < 2:
        raise InputError(
            "an ensemble needs a folder of two heads or more, each in a folder of its own, as reward/train.py "
            f"--ensemble writes them; {str(folder)!r} has {len(places)}"
        )
    for needed in (CONFIG, WEIGHTS):
        for part in sorted(folder.glob(f"*/{needed}")):
            if part.parent not in places:
                raise InputError(f"{part.parent} holds half a head: it needs {CONFIG} and {WEIGHTS}")
    return places


def _load_heads(places: Sequence[Path]) -> list[RewardHead]:
    """Load heads onto the CPU; `InputError` unless they have the same towers, and all or none give ratings."""
    heads, heard = [], []
    for place in places:
        head, towers = load_head(place)
        heads.append(head.eval().requires_grad_(False))
        config = head.config
        heard.append((config.model_name, config.dim, config.use_layer_idx, hash_tensors(towers)))
        if heard[-1] != heard[0]:
            raise InputError(f"{place} hears with other towers than {places[0]}: an ensemble shares them")
        if (head.ratings is None) != (heads[0].ratings is None):
            raise InputError(f"of {places[0]} and {place}, one gives scores and one ratings: keep them apart")
    return heads

"""The heads of an ensemble, which learn one after another from the same frames (``--ensemble``).

Each head begins with weights of its own, or with ``--init_from`` with those of the head of its number there, and
learns from a draw of its own: of every file as many rows as it has, drawn with replacement (the bootstrap, Efron 1979),
so that heads differ where the rows leave a choice.

Preferences tell scores but for a number that is added to all of them, so heads of the same judgement may lie apart.
What is saved is therefore centred: the mean score of the clips of the validation file is 0 for every head. Ratings of
1 to 5 (``--rating_levels``, and ``--rating_map none``) need no such thing.
"""

import copy
import dataclasses
from pathlib import Path

import torch

from music.errors import InputError
from music.hashing import candidate_seed
from music.paths import is_file, is_folder
from reward.cmi_rm.checkpoint import is_checkpoint
from reward.cmi_rm.ensemble import head_folders
from reward.cmi_rm.head import RewardHead
from reward.training.batches import JudgementData
from reward.training.config import TrainConfig
from reward.training.validation import outputs_of

STATE = "training.pt"


def trainings(config: TrainConfig, data: JudgementData) -> list[tuple[TrainConfig, JudgementData]]:
    """Return the options and rows of each head that is trained: as they are, or those of the heads of an ensemble.

    Raises
    ------
    InputError
        If the output holds a training of the other kind, or more heads.
    """
    output = Path(config.output)
    single, first = (is_file(folder / STATE) for folder in (output, _folder(output, 0)))
    if single if config.ensemble else first:
        kind = "a single head" if single else "an ensemble"
        raise InputError(f"{output} holds a training of {kind}: choose another --output")
    if config.ensemble is None:
        return [(config, data)]
    if is_file(_folder(output, config.ensemble) / STATE):
        raise InputError(
            f"{output} holds more heads than --ensemble {config.ensemble}: ask for all, or choose another --output"
        )
    found = []
    for number in range(config.ensemble):
        seed = candidate_seed(config.seed, "head", number)
        start = str(start_of(Path(config.init_from), number)) if config.init_from else ""
        own = dataclasses.replace(config, output=str(_folder(output, number)), seed=seed, init_from=start)
        found.append((own, data.resampled(seed)))
    return found


def start_of(folder: Path, number: int) -> Path:
    """Return the folder that a head starts from: that of a CMI-RM, or of an ensemble each of its heads in turn."""
    if is_checkpoint(folder) or not is_folder(folder) or not any(map(is_checkpoint, folder.iterdir())):
        return folder
    heads = head_folders(folder)
    return heads[number % len(heads)]


def _folder(output: Path, number: int) -> Path:
    return output / f"head-{number:02d}"


@torch.no_grad()
def centred(head: RewardHead, data: JudgementData, batch_size: int) -> RewardHead:
    """Return a copy of a head whose scores of all clips of some rows have the mean 0; the head is left in eval mode."""
    pairs, clips = outputs_of(head, data, batch_size)
    mean = torch.cat([pairs.flatten(0, 1), clips]).double().mean(dim=0)
    moved = copy.deepcopy(head)
    moved.get_parameter("score_projector.3.bias").sub_(mean.float())
    return moved

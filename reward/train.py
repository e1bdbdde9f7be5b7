"""Train a CMI-RM head on preferences and ratings.

    accelerate launch reward/train.py --config C.yaml
    music-reward --num_processes 2 train-reward --config C.yaml       # several processes

1. The frozen towers encode every distinct audio, text and lyrics once, into a cache on disk that runs share. A tower
   of which a part learns too (--text_encoder_tune, --lora_r, --train_muq_depth) encodes them anew in every step.
2. Bradley-Terry on both heads: the loss of a pair is the cross-entropy between the smoothed label and
   sigmoid(score of a - score of b); that of a rating is its error, after a learned map from scores to ratings
   (`reward.training.objective`). They are averaged over the rows that a head has a label for, then over heads. Ties
   are left out. In each step every row may lose its text, lyrics or reference (modality dropout).
   --init_from starts from the head of another folder, as stage 2 does from stage 1.
3. AdamW, linear warm-up, cosine decay, gradient clipping. After every `evaluate_every` steps: validation loss
   and accuracy of each head with its 95 % Wilson interval. The model of the lowest validation loss is kept,
   and training stops after `patience` validations without a better one.

OUTPUT holds the best model so far in the published format (``config.yaml``, ``model.safetensors``; head-only, or full
if its towers are no longer those that it names), so `load_scorer(OUTPUT)` works at any time; ``log.jsonl`` with a row a
step and a row a validation; ``curves.png``, drawn at the end; ``run.json``; and ``training.pt``. A killed run continues
from there: the weights are bit for bit those of a run never killed (one device type, library set, thread and process
count). Order, modality dropout and the noise of dropout depend on seed, step and row only, so another
number of processes changes sums in their last digits only, and so does --gradient_accumulation_steps.

With --ensemble K the folders OUTPUT/head-00 ... hold K such models, for --reward ensemble:OUTPUT
(`reward.training.several_heads`). With more of them the same command goes on to train those that are missing.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from music.command import run
from music.devices import find_device
from music.distributed.accelerating import in_force, make_accelerator
from music.distributed.same_inputs import meet
from music.errors import InputError
from music.hashing import sha256_file
from music.optional_libraries import check_tracker
from music.processes import Processes
from music.provenance import write_run_record
from reward.cmi_rm.checkpoint import load_head, load_towers
from reward.cmi_rm.locations import Locator
from reward.cmi_rm.towers import Towers
from reward.cmi_rm.tuning import unfreeze
from reward.judgements import Judgement, audio_of, load_judgements, texts_of
from reward.train_curves import draw_curves
from reward.training.batches import JudgementData
from reward.training.config import TrainConfig
from reward.training.embeddings import EmbeddingStore, audio_keys, fill_store, text_key
from reward.training.live_frames import LiveFrames
from reward.training.several_heads import start_of, trainings
from reward.training.trainer import Trainer


def main(config: TrainConfig) -> int:
    """Train as the config says; see the module."""
    from accelerate import DistributedDataParallelKwargs

    with meet(config, config.output, alone=True) as processes:
        if config.batch_size < processes.world_size:
            raise InputError(
                f"--batch_size {config.batch_size} leaves some of {processes.world_size} processes without a "
                "pair: make it at least as large, or start fewer"
            )
        rows = read_rows(config, processes)
        check_tracker(config.tracker, config.output)
        accelerator = make_accelerator(
            processes,
            find_device(config.device),
            config.mixed_precision,
            own_autocast=True,
            # projectors that only the published files need get no gradient
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
            log_with=None if config.tracker == "none" else config.tracker,
            project_dir=str(Path(config.output) / "tracker"),
        )
        weights = load_head(start_of(Path(config.init_from), 0))[1] if config.init_from else None
        towers = load_towers(config.towers, Locator(), weights or None, max_seconds=config.max_seconds)
        towers = towers.to(accelerator.device)
        frames, train, held_out = prepare_data(config, rows, processes, towers)
        trained: dict[str, dict[str, Any]] = {}  # facts of each head by its folder
        for own, rows_of_head in trainings(config, train):
            trainer = Trainer(own, accelerator, processes, towers, frames)
            trainer.run(rows_of_head, held_out)
            state = trainer.state
            trained[own.output] = {
                "best_step": state.best_step,
                "last_step": state.step,
                "validation": state.best,
            }
            accelerator.free_memory()
        accelerator.end_training()
        if processes.is_main:
            output = Path(config.output)
            facts = {"heads": trained} if config.ensemble else trained[config.output]
            settings = {**in_force(accelerator), "mixed_precision": config.mixed_precision}
            write_run_record(output, config, towers=towers.hash, **facts, accelerate=settings)
            draw_curves(list(map(Path, trained)), output / "curves.png")
            print(json.dumps({"output": str(output), **facts}))
        return 0


class Rows(NamedTuple):
    """What is learned from, with number and weight of the rows of each file, and what is validated on."""

    train: list[Judgement]
    mixture: list[tuple[int, float]]
    held_out: list[Judgement]


def read_rows(config: TrainConfig, processes: Processes) -> Rows:
    """Read the rows, before anything is loaded.

    Raises
    ------
    InputError
        If a row is bad, a file has no row in an epoch, or another process has read other files.
    """
    train: list[Judgement] = []
    mixture = []
    for path, weight in config.training_files():
        rows = load_judgements(path, config.limit)
        if round(weight * len(rows)) < 1:
            raise InputError(
                f"--train: {len(rows)} rows of {path} at a weight of {weight:g} are none in an epoch"
            )
        train += rows
        mixture.append((len(rows), weight))
    held_out = load_judgements(config.validation, config.limit)
    if processes.world_size > 1:
        files = [*(path for path, _ in config.training_files()), config.validation]
        processes.agree({f"content of {path}": sha256_file(path) for path in files})
    return Rows(train, mixture, held_out)


def prepare_data(
    config: TrainConfig, rows: Rows, processes: Processes, towers: Towers
) -> tuple[EmbeddingStore | LiveFrames, JudgementData, JudgementData]:
    """Encode what the cache lacks of the rows, and let parts of the towers learn.

    Returns
    -------
    frames, train, held_out
        Outputs of the towers, and the rows with them.

    Raises
    ------
    InputError
        If training and validation share audio.
    """
    train, mixture, held_out = rows
    folder = config.embeddings or Path(config.output) / "embeddings"
    keys, texts = audio_keys(audio_of([*train, *held_out]), folder), texts_of([*train, *held_out])
    heard = {keys[path] for row in train for path in row.audio}
    for row in held_out:
        if any(keys[path] in heard for path in row.audio):
            raise InputError(f"{config.validation}: the audio of row {row.id!r} is also in {config.train}")
    frames: EmbeddingStore | LiveFrames
    frames = store = EmbeddingStore(folder, towers.hash, config.embedding_dtype, config.in_memory)
    learning = config.tuning.kinds
    fill_store(
        store, towers, {} if "audio" in learning else keys, [] if "text" in learning else texts, processes
    )
    if learning:
        if config.mixed_precision == "bf16":
            towers.dtype_name = "bfloat16"  # what is frozen was encoded in float32
        unfreeze(towers, config.tuning, config.seed)
        sources = {text_key(text): text for text in texts} | {key: path for path, key in keys.items()}
        frames = LiveFrames(store, towers, {key: sources[key] for key in sources if key[0] in learning})
    smoothing = config.label_smoothing
    return (
        frames,
        JudgementData(train, frames, keys, smoothing, mixture),
        JudgementData(held_out, frames, keys, smoothing),
    )


if __name__ == "__main__":
    run(main, TrainConfig)

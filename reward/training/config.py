"""The options of `reward.train`.

    accelerate launch reward/train.py --config experiments/configs/cmi_rm_stage_1.yaml
    accelerate launch reward/train.py --train data/cmi_pref/rows.jsonl,data/music_eval/rows.jsonl:3 \
        --validation data/cmi_pref_validation/rows.jsonl --output runs/cmi_rm
    music-reward --num_processes 2 train-reward --config C.yaml       # several processes

What training does with them is told in `reward/train.py`.
"""

import math
from dataclasses import dataclass
from typing import Literal

from music.command import refuse_below_one, refuse_negative, split_names
from music.errors import InputError
from reward.cmi_rm.config import CMIRMConfig, DownsamplerConfig, NullEmbedding
from reward.cmi_rm.towers import MAX_SECONDS
from reward.cmi_rm.tuning import Tuning


@dataclass(frozen=True)
class TrainConfig:
    """Train a CMI-RM head on preferences and ratings, over towers that are frozen or learn in part.

    Parameters
    ----------
    train
        Files of preferences and ratings to learn from, with commas between (see `reward.judgements`). A number after a
        colon is how often the rows of a file come in an epoch: "pseudo.jsonl:0.5,ratings.jsonl:3".
    validation
        File of preferences and ratings to stop by; it must share no audio with `train`.
    output
        Folder for the model (``config.yaml``, ``model.safetensors``), ``log.jsonl``, ``run.json`` and the state to
        resume from. The same command again resumes.
    towers
        MuQ-MuLan that encodes audio and texts: a folder, a hub id, or lab-mulan.
    init_from
        Folder of a CMI-RM to start from, as stage 2 does from stage 1: its head, and its towers if it holds them; or of
        an ensemble, for another ensemble. If empty, the head starts from random weights.
    model_name
        Name of the towers in the saved config. If empty, a folder is named relative to the parent of OUTPUT, so that
        both can be moved together, and anything else as given.
    embeddings
        Folder of stored tower outputs, which runs may share; OUTPUT/embeddings if empty.
    embedding_dtype
        Numeric type of the stored tower outputs.
    in_memory
        Whether to hold all tower outputs in memory instead of mapping their files.
    attention_mode
        Attention of the joint stage: SA (self-attention over prompt and audio) or CA (audio attends to the prompt).
    heads
        Number of attention heads.
    dim_head
        Width of an attention head; if 0, the width of the towers divided by `heads`.
    prompt_depth
        Number of layers of the prompt transformer.
    joint_depth
        Number of layers of the joint stage.
    mlp_dim
        Hidden size of the projector; if 0, the width of the towers.
    ff_mult
        Feed-forward size as a multiple of the width.
    downsample
        Kind of downsampler for audio and reference: none, mean, mean+mlp, conv, conv*2 or gluconv*2+pw.
    downsample_factor
        Number of frames that the downsampler turns into one.
    dropout
        Dropout of attention and feed-forward.
    text_dropout, lyrics_dropout, reference_dropout
        Chance that the text, lyrics or reference of a row is hidden in a step.
    skip_null
        Whether hidden modalities are masked out, as at inference, instead of replaced by a learned null embedding.
    text_encoder_tune
        Part of the text tower that learns too: transformer (that over XLM-RoBERTa) or all; none if empty.
    lora_r
        Rank of the low-rank updates of XLM-RoBERTa that learn in its place; 0 for none. They need peft.
    lora_alpha
        Scale of the updates: they count lora_alpha / lora_r.
    lora_dropout
        Dropout of what goes into an update.
    lora_target_modules
        Ends of the names of the matrices that are updated, with commas between.
    train_muq_depth
        Number of the last layers of MuQ's conformer that learn too.
    tower_learning_rate
        Learning rate of what learns in the towers, at the top of the schedule of `learning_rate`.
    steps
        Number of optimiser steps that the learning-rate schedule is made for.
    batch_size
        Rows in a step, over all processes.
    gradient_accumulation_steps
        Number of parts in which each process works on its rows of a step. More parts need less memory and, without
        `dropout`, less time where the lengths of prompts differ much.
    mixed_precision
        Whether the head, and towers that learn, compute in bfloat16 where that is safe.
    learning_rate
        Learning rate after warm-up; a cosine leads from there to 0.
    warmup_steps
        Number of steps of linear warm-up.
    weight_decay
        Weight decay of AdamW, on matrices.
    clip_norm
        Limit of the gradient norm.
    label_smoothing
        Smoothing of preferences: 0.2 turns the targets 1 and 0 into 0.9 and 0.1.
    rating_map
        Map from scores to ratings; see `reward.training.objective`.
    rating_levels
        Number of levels, 2 to 20, of a head that gives each clip a distribution of ratings (`reward.cmi_rm.ordinal`).
        If not given, the head gives scores, as the published one does.
    ensemble
        Number of heads to train over the same frames, each from rows and weights drawn for it, for --reward
        ensemble:OUTPUT. If not given, there is one head, which OUTPUT itself holds.
    evaluate_every
        Steps between validations; the model of the lowest validation loss is kept.
    patience
        Number of validations without a better one after which training stops; 0 never stops.
    checkpoint_every
        Steps between states to resume from.
    tracker
        Tracker that gets the curves too; tensorboard and wandb must be installed.
    max_seconds
        Length of the beginning of any audio that is heard, s.
    seed
        Seed of weights, order and dropout.
    limit
        Number of rows to take from the beginning of each file; all if not given.
    device
        Device to train on: auto, cpu or cuda; auto is the GPU if there is one.
    """

    train: str
    validation: str
    output: str
    towers: str = "lab-mulan"
    init_from: str = ""
    model_name: str = ""
    embeddings: str = ""
    embedding_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    in_memory: bool = False
    attention_mode: Literal["SA", "CA"] = "SA"
    heads: int = 4
    dim_head: int = 0
    prompt_depth: int = 2
    joint_depth: int = 1
    mlp_dim: int = 0
    ff_mult: int = 4
    downsample: str = "conv*2"
    downsample_factor: int = 9
    dropout: float = 0.0
    text_dropout: float = 0.2
    lyrics_dropout: float = 0.3
    reference_dropout: float = 0.5
    skip_null: bool = True
    text_encoder_tune: str = ""
    lora_r: int = 0
    lora_alpha: int = Tuning.lora_alpha
    lora_dropout: float = Tuning.lora_dropout
    lora_target_modules: str = ",".join(Tuning.lora_target_modules)
    train_muq_depth: int = 0
    tower_learning_rate: float = 1e-5
    steps: int = 2000
    batch_size: int = 48
    gradient_accumulation_steps: int = 1
    mixed_precision: Literal["no", "bf16"] = "no"
    learning_rate: float = 3e-4
    warmup_steps: int = 100
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    label_smoothing: float = 0.2
    rating_map: Literal["tanh", "linear", "none", "ordinal"] = "tanh"
    rating_levels: int | None = None
    ensemble: int | None = None
    evaluate_every: int = 100
    patience: int = 10
    checkpoint_every: int = 100
    tracker: Literal["none", "tensorboard", "wandb", ""] = "none"  # "" is none, as it was once called
    max_seconds: float = MAX_SECONDS
    seed: int = 0
    limit: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        refuse_below_one(self, "heads", "joint_depth", "steps", "batch_size", "ff_mult")
        refuse_negative(
            self, "dim_head", "mlp_dim", "prompt_depth", "warmup_steps", "weight_decay", "patience"
        )
        refuse_below_one(self, "evaluate_every", "checkpoint_every", "limit", "gradient_accumulation_steps")
        object.__setattr__(self, "tracker", self.tracker or "none")
        self.training_files()
        for name in ("dropout", "text_dropout", "lyrics_dropout", "reference_dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"--{name} must lie in [0, 1], got {getattr(self, name)}")
        if self.dropout == 1:
            raise InputError("--dropout must be below 1, which would leave nothing to learn from, got 1")
        if ":" in self.device:  # accelerate gives each process its GPU
            raise InputError(
                f"--device must be auto, cpu or cuda, got {self.device!r}: choose GPUs with CUDA_VISIBLE_DEVICES"
            )
        if min(self.learning_rate, self.tower_learning_rate, self.clip_norm) <= 0:
            raise InputError("--learning_rate, --tower_learning_rate and --clip_norm must be above 0")
        if self.rating_levels is not None and self.rating_map != "tanh":
            raise InputError(
                f"--rating_map {self.rating_map} is for a head that gives scores: leave it out, or --rating_levels"
            )
        if self.ensemble is not None:
            self._check_ensemble(self.ensemble)
        _ = self.tuning

    def _check_ensemble(self, heads: int) -> None:
        if heads < 2:
            raise InputError(f"--ensemble must be at least 2, got {heads}: leave it out for one head")
        refuse_below_one(self, "ensemble")
        if self.tuning.kinds:
            raise InputError(
                "--ensemble needs frozen towers, which its heads share: leave --text_encoder_tune, --lora_r and "
                "--train_muq_depth out"
            )
        if self.tracker != "none":
            raise InputError(
                f"--ensemble draws the curves of its heads into curves.png: leave --tracker {self.tracker} out"
            )

    @property
    def tuning(self) -> Tuning:
        """What learns in the towers."""
        lora = (self.lora_r, self.lora_alpha, self.lora_dropout, tuple(split_names(self.lora_target_modules)))
        return Tuning(self.text_encoder_tune, *lora, self.train_muq_depth)

    def training_files(self) -> list[tuple[str, float]]:
        """Return the files to learn from, each with the number of times that its rows come in an epoch.

        Raises
        ------
        InputError
            If a weight is not above 0, or a file comes twice.
        """
        files: dict[str, float] = {}
        for part in self.train.split(","):
            path, colon, weight = part.strip().rpartition(":")
            try:
                path, number = (path, float(weight)) if colon else (weight, 1.0)
            except ValueError:  # the colon belongs to the name
                path, number = part.strip(), 1.0
            if not 0 < number < math.inf:
                raise InputError(f"--train: the weight of {path} must be above 0, got {weight}")
            if path in files:
                raise InputError(f"--train names {path} twice: give it a weight")
            files[path] = number
        return list(files.items())

    def head(self, dim: int, model_name: str) -> CMIRMConfig:
        """Return the config of a head over towers of width `dim` that are called `model_name`.

        Raises
        ------
        InputError
            If the width is not a multiple of the heads, and `dim_head` is not given.
        """
        if not self.dim_head and dim % self.heads:
            raise InputError(
                f"--heads {self.heads} does not divide the width of the towers, {dim}: set --dim_head"
            )
        downsampler = DownsamplerConfig(self.downsample, self.downsample_factor)
        return CMIRMConfig(
            model_name=model_name,
            dim=dim,
            attention_mode=self.attention_mode,
            mlp_dim=self.mlp_dim or dim,
            prompt_tf_depth=self.prompt_depth,
            joint_tf_depth=self.joint_depth,
            dim_head=self.dim_head or dim // self.heads,
            heads=self.heads,
            attn_dropout=self.dropout,
            ff_dropout=self.dropout,
            ff_mult=self.ff_mult,
            null_text=NullEmbedding(self.text_dropout),
            null_lyrics=NullEmbedding(self.lyrics_dropout),
            null_audio=NullEmbedding(self.reference_dropout),
            skip_null=self.skip_null,
            eval_downsampler=downsampler,
            reference_downsampler=downsampler,
            rating_levels=self.rating_levels,
            carried=self.tuning.published(),
        )

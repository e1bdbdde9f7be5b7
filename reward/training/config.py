"""The settings of `reward.train`."""

import math
from dataclasses import dataclass

from music.command import refuse_below_one
from music.errors import InputError
from reward.cmi_rm.config import CMIRMConfig, DownsamplerConfig, NullEmbedding
from reward.cmi_rm.towers import MAX_SECONDS
from reward.cmi_rm.tuning import Tuning


@dataclass(frozen=True)
class TrainConfig:
    """Train a CMI-RM head on preferences and ratings, over towers that are frozen, their outputs cached, or learn too.

    Parameters
    ----------
    train
        Preferences and ratings to learn from (see `reward.judgements`): a file, or several with commas between. A
        number after a colon tells how often the rows of a file come in an epoch: "pseudo.jsonl:0.5,ratings.jsonl:3".
    validation
        Preferences and ratings to stop by; they share no audio with `train`.
    output
        Folder for the model (``config.yaml``, ``model.safetensors``), ``log.jsonl``, ``run.json`` and the
        state to resume from. Running the same command again resumes.
    towers
        The MuQ-MuLan: a folder, a hub id, or ``lab-mulan``.
    init_from
        Folder of a CMI-RM that training starts from, such as stage 1 for stage 2: its head, and its towers if it holds
        them. Random weights of a head if empty.
    model_name
        How the saved config names the towers. By default a folder is named relative to the parent of
        OUTPUT, so that both can be moved together; anything else as given.
    embeddings
        Folder of cached tower outputs; ``OUTPUT/embeddings`` if empty. May be shared by runs.
    embedding_dtype
        How they are stored: float32, bfloat16 or float16.
    in_memory
        Whether to hold all tower outputs in memory instead of mapping their files.
    attention_mode
        SA (joint self-attention) or CA (audio attends to the prompt).
    heads
        Attention heads.
    dim_head
        Dimensions of each; the width of the towers / heads if 0.
    prompt_depth
        Layers of the prompt transformer.
    joint_depth
        Layers of the joint stage.
    mlp_dim
        Hidden size of the projector; the width of the towers if 0.
    ff_mult
        Feed-forward size as a multiple of the width.
    downsample
        Kind of downsampler for audio and reference: none, mean, mean+mlp, conv, conv*2 or gluconv*2+pw.
    downsample_factor
        By how much it shortens them.
    dropout
        Of attention and feed-forward.
    text_dropout
        Chance that the text of a row is hidden in a step.
    lyrics_dropout
        The same for lyrics.
    reference_dropout
        The same for the reference.
    skip_null
        Mask hidden modalities out (as at inference) instead of showing a learned null embedding.
    text_encoder_tune
        What of the text tower learns too: transformer (that over XLM-RoBERTa) or all.
    lora_r
        Rank of low-rank updates of XLM-RoBERTa, which learn in its place; 0 for none. They need peft.
    lora_alpha
        An update counts alpha / rank.
    lora_dropout
        Of what goes into an update.
    lora_target_modules
        Ends of the names of the matrices that get one, with commas between.
    train_muq_depth
        How many layers of MuQ's conformer learn too, from the last.
    tower_learning_rate
        Of what learns in the towers, at the top of the schedule of `learning_rate`.
    steps
        Length of the learning-rate schedule.
    batch_size
        Rows in a step, over all processes.
    gradient_accumulation_steps
        In how many parts each process works on its rows of a step; more parts need less memory, and without `dropout`
        less time where prompts are of many lengths.
    mixed_precision
        no, or bf16: the head, and towers that learn, work in bfloat16 where that is safe.
    learning_rate
        After warm-up; a cosine leads to 0.
    warmup_steps
        Of linear warm-up.
    weight_decay
        Of AdamW, on matrices.
    clip_norm
        Limit of the gradient norm.
    label_smoothing
        0.2 turns the targets 1 and 0 into 0.9 and 0.1.
    rating_map
        How a score becomes a rating: tanh, linear, none or ordinal (see `reward.training.objective`).
    evaluate_every
        Steps between validations; the best model by validation loss is kept.
    patience
        Stop after so many validations without a better one; 0 never stops.
    checkpoint_every
        Steps between states to resume from.
    tracker
        Where curves go besides the files: tensorboard, wandb or another that accelerate knows.
    max_seconds
        Only so much of the beginning of any audio is used.
    seed
        Of weights, order and dropout.
    limit
        Take only the first so many rows of each file.
    device
        auto, cpu or cuda.
    """

    train: str
    validation: str
    output: str
    towers: str = "lab-mulan"
    init_from: str = ""
    model_name: str = ""
    embeddings: str = ""
    embedding_dtype: str = "float32"
    in_memory: bool = False
    attention_mode: str = "SA"
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
    mixed_precision: str = "no"
    learning_rate: float = 3e-4
    warmup_steps: int = 100
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    label_smoothing: float = 0.2
    rating_map: str = "tanh"
    evaluate_every: int = 100
    patience: int = 10
    checkpoint_every: int = 100
    tracker: str = ""
    max_seconds: float = MAX_SECONDS
    seed: int = 0
    limit: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        """`InputError` for numbers that make no sense."""
        refuse_below_one(self, "heads", "joint_depth", "steps", "batch_size")
        refuse_below_one(self, "evaluate_every", "checkpoint_every", "limit", "gradient_accumulation_steps")
        if self.mixed_precision not in ("no", "bf16"):
            raise InputError(f"--mixed_precision must be no or bf16, got {self.mixed_precision!r}")
        self.training_files()
        for name in ("dropout", "text_dropout", "lyrics_dropout", "reference_dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"--{name} must lie in [0, 1], got {getattr(self, name)}")
        if ":" in self.device:  # accelerate gives each process its GPU
            raise InputError(
                f"--device must be auto, cpu or cuda, got {self.device!r}: choose GPUs with CUDA_VISIBLE_DEVICES"
            )
        if min(self.learning_rate, self.tower_learning_rate, self.clip_norm) <= 0:
            raise InputError("--learning_rate, --tower_learning_rate and --clip_norm must be above 0")
        _ = self.tuning

    @property
    def tuning(self) -> Tuning:
        """What learns in the towers."""
        names = tuple(name.strip() for name in self.lora_target_modules.split(",") if name.strip())
        return Tuning(
            self.text_encoder_tune,
            self.lora_r,
            self.lora_alpha,
            self.lora_dropout,
            names,
            self.train_muq_depth,
        )

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
        """Return the config of a head over towers of width `dim` that `model_name` names.

        Raises
        ------
        InputError
            If the width is not a multiple of the heads, and nothing says how wide each shall be.
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
            carried=self.tuning.published(),
        )

"""The ``config.yaml`` of a CMI-RM folder, in the published schema (flat, or under ``model:``)."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from music.errors import InputError
from music.files import read_yaml

# fields of the published schema that decide how its authors train or load, and not what a score is
_CARRIED = (
    "name",
    "freeze_audio",
    "freeze_text",
    "train_muq_depth",
    "text_encoder",
    "load_config",
    "category_embeddings",
)
_KINDS = {
    "none": ("none",),
    "mean": ("mean", "meanpool"),
    "mean+mlp": ("mean+mlp", "meanpool+mlp", "baseline1", "b1"),
    "conv": ("conv", "baseline2simple", "b2s"),
    "conv*2": ("conv*2", "baseline2", "b2"),
    "gluconv*2+pw": ("gluconv*2+pw", "baseline3", "b3"),
}
KINDS = {alias: kind for kind, aliases in _KINDS.items() for alias in aliases}
_STREAMS = {"eval": "eval_downsampler", "ref": "reference_downsampler", "text": "text_downsampler"}


@dataclass(frozen=True)
class DownsamplerConfig:
    """How one stream of frames is shortened.

    Attributes
    ----------
    kind
        One of ``none, mean, mean+mlp, conv, conv*2, gluconv*2+pw``, or an alias of it (`KINDS`).
    factor
        Number of frames that become one; T frames become T // factor.
    mlp_ratio, pre_mlp, dropout
        Hidden size / dim of the MLP of ``mean+mlp``, whether it comes before the mean, and its dropout in training.
    kernel_size, use_layernorm
        Size of the convolutions, which is odd, and whether a LayerNorm follows them.

    Raises
    ------
    InputError
        If the kind is unknown, or a number impossible.
    """

    kind: str = "none"
    factor: int = 1
    mlp_ratio: float = 2.0
    pre_mlp: bool = False
    dropout: float = 0.0
    kernel_size: int = 5
    use_layernorm: bool = True

    def __post_init__(self) -> None:
        """Resolve aliases of the kind, and refuse what cannot be."""
        if self.kind.lower() not in KINDS:
            raise InputError(f"unknown downsampler kind {self.kind!r}: expected one of {', '.join(KINDS)}")
        object.__setattr__(self, "kind", KINDS[self.kind.lower()])
        if self.factor < 1:
            raise InputError(f"downsampler factor must be at least 1, got {self.factor}")
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise InputError(f"downsampler kernel_size must be odd, got {self.kernel_size}")


@dataclass(frozen=True)
class NullEmbedding:
    """Chance that training drops a modality, and the number of learned frames that take its place."""

    dropout: float = 0.0
    length: int = 10


@dataclass(frozen=True)
class CMIRMConfig:
    """Everything that decides the shape of a CMI-RM head and how it is fed; the defaults are the published ones.

    Attributes
    ----------
    model_name
        MuQ-MuLan towers: a folder (relative names: see `reward.cmi_rm.checkpoint`) or a hub id.
    dim
        Width of the towers' outputs and of the head.
    attention_mode
        ``SA``: joint self-attention over prompt and audio; ``CA``: audio attends to the prompt.
    mlp_dim, output_dim
        Hidden size and outputs of the projectors; column 0 of the 2 outputs is alignment, column 1 musicality.
    sr
        Sample rate, Hz.
    prompt_tf_depth, joint_tf_depth
        Number of layers of the prompt transformer and of the joint stage.
    dim_head, heads, attn_dropout, ff_dropout, ff_mult
        Width and number of attention heads, dropout, and feed-forward size / dim, in all layers.
    use_layer_idx
        Index of the hidden state of MuQ that is read.
    null_text, null_lyrics, null_audio, skip_null
        Modality dropout of training; with `skip_null`, as always at inference, a missing modality is masked out.
    eval_downsampler, reference_downsampler, text_downsampler
        Downsampler of each stream; lyrics use that of text, with weights of their own.
    rating_levels
        Number of levels of a head that gives a distribution of ratings (`reward.cmi_rm.ordinal`), 2 to 20; None for
        the published head, which gives scores. The schema has the field only if there is one.
    carried
        Fields of the schema that have no influence on scores, kept so that a saved file still has them.

    Raises
    ------
    InputError
        If a value is one that no model can have.
    """

    model_name: str = "OpenMuQ/MuQ-MuLan-large"
    dim: int = 768
    attention_mode: str = "SA"
    mlp_dim: int = 512
    output_dim: int = 2
    sr: int = 24_000
    prompt_tf_depth: int = 1
    joint_tf_depth: int = 4
    dim_head: int = 64
    heads: int = 8
    attn_dropout: float = 0.0
    ff_dropout: float = 0.0
    ff_mult: int = 4
    use_layer_idx: int = -1
    null_text: NullEmbedding = NullEmbedding(0.2)
    null_lyrics: NullEmbedding = NullEmbedding(0.3)
    null_audio: NullEmbedding = NullEmbedding(0.5)
    skip_null: bool = False
    eval_downsampler: DownsamplerConfig = DownsamplerConfig()
    reference_downsampler: DownsamplerConfig = DownsamplerConfig()
    text_downsampler: DownsamplerConfig = DownsamplerConfig()
    rating_levels: int | None = None
    carried: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.attention_mode not in ("SA", "CA"):
            raise InputError(f"attention_mode must be SA or CA, got {self.attention_mode!r}")
        if self.output_dim != 2:
            raise InputError(f"output_dim must be 2 (alignment, musicality), got {self.output_dim}")
        if self.sr != 24_000:
            raise InputError(f"sr must be 24000 Hz, the rate of the MuQ-MuLan towers, got {self.sr}")
        if self.rating_levels is not None and not 2 <= self.rating_levels <= 20:
            raise InputError(f"rating_levels must be from 2 to 20, got {self.rating_levels}")

    def acting(self) -> dict[str, Any]:
        """Return the fields that decide scores, as JSON: neither names of places nor settings of training."""
        nulls = ("skip_null", "null_text", "null_lyrics", "null_audio")
        # the hashes of published heads know no such field
        unset = ("rating_levels",) if self.rating_levels is None else ()
        idle = ("carried", "model_name", *nulls, "attn_dropout", "ff_dropout", *unset)
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in idle}


def read_config(path: Path) -> CMIRMConfig:
    """Read a ``config.yaml``.

    Raises
    ------
    InputError
        If the file cannot be read or parsed, or has a field that is unknown, of the wrong type or not
        supported.
    """
    loaded = read_yaml(path)
    if not isinstance(loaded, dict):
        raise InputError(f"{path}: expected the fields of a CMI-RM, got {type(loaded).__name__}")
    try:
        return config_from_dict(loaded.get("model", loaded))  # beside `model:` lie settings of a training run
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def config_from_dict(fields: Any) -> CMIRMConfig:
    """Return the config of the published fields; `InputError` names a field that is unknown or unusable."""
    rest = dict(_mapping(fields, "model"))
    _check_text_encoder(rest.get("text_encoder"), rest.pop("text_lora_config", None))
    carried = {name: rest.pop(name) for name in _CARRIED if name in rest}
    if (mode := rest.pop("mode", "concat_text_late")) != "concat_text_late":
        raise InputError(f"mode {mode!r} is not supported: expected concat_text_late")
    nulls = _nulls(rest.pop("null_embedding", None))
    downsamplers = _downsamplers(rest.pop("downsample", None))
    types = {**_plain(CMIRMConfig), "rating_levels": int}
    return CMIRMConfig(**_checked(rest, types, "model"), **nulls, **downsamplers, carried=carried)


def config_to_dict(config: CMIRMConfig) -> dict[str, Any]:
    """Return the published fields of a config, such that `config_from_dict` gives it back."""
    values = dataclasses.asdict(config)
    nulls = {name: values[f"null_{name}"] for name in ("text", "lyrics", "audio")}
    downsamplers = {stream: values[field] for stream, field in _STREAMS.items()}
    return {
        **config.carried,
        "mode": "concat_text_late",
        **{name: values[name] for name in _plain(CMIRMConfig)},
        **({} if config.rating_levels is None else {"rating_levels": config.rating_levels}),
        "null_embedding": {**nulls, "skip_null": config.skip_null},
        "downsample": {"configs": downsamplers, **{stream: stream for stream in _STREAMS}},
    }


def _check_text_encoder(encoder: Any, lora: Any) -> None:
    name = encoder.get("name", "muq_mulan") if isinstance(encoder, dict) else encoder or "muq_mulan"
    if name not in ("muq_mulan", "muqmulan"):
        raise InputError(f"text_encoder {name!r} is not supported: expected muq_mulan")
    if isinstance(lora, dict) and lora.get("use_lora"):
        raise InputError(
            "text_lora_config.use_lora is not supported: merge the adapter into the text tower first"
        )


def _nulls(fields: Any) -> dict[str, Any]:
    rest = dict(_mapping(fields, "null_embedding"))
    values: dict[str, Any] = {"skip_null": rest.pop("skip_null", False)}
    if not isinstance(values["skip_null"], bool):
        raise InputError(f"null_embedding.skip_null must be true or false, got {values['skip_null']!r}")
    for name, null in rest.items():
        place = f"null_embedding.{name}"
        if name not in ("text", "lyrics", "audio"):
            raise InputError(f"unknown field {place}: expected text, lyrics, audio, skip_null")
        values[f"null_{name}"] = NullEmbedding(
            **_checked(_mapping(null, place), _plain(NullEmbedding), place)
        )
    return values


def _downsamplers(fields: Any) -> dict[str, Any]:
    rest = dict(_mapping(fields, "downsample"))
    if not rest:
        return {}
    types = {**_plain(DownsamplerConfig), "pre_mlp": bool, "use_layernorm": bool}
    configs = {"none": DownsamplerConfig()}
    for name, values in _mapping(rest.pop("configs", None), "downsample.configs").items():
        place = f"downsample.configs.{name}"
        values = dict(_mapping(values, place))
        if values.pop("stage", 1) != 1:
            raise InputError(f"{place}.stage is not supported beyond 1: use kind conv*2")
        configs[name] = DownsamplerConfig(**_checked(values, types, place))
    names = {stream: rest.pop(stream, None) for stream in _STREAMS}
    if rest:
        raise InputError(f"unknown field downsample.{next(iter(rest))}: expected configs, eval, ref, text")
    chosen = {"eval": names["eval"] or "none", "text": names["text"] or "none"}
    chosen["ref"] = names["ref"] or chosen["eval"]
    for stream, name in chosen.items():
        if name not in configs:
            raise InputError(
                f"downsample.{stream} is {name!r}, which downsample.configs lacks: {', '.join(configs)}"
            )
    return {_STREAMS[stream]: configs[name] for stream, name in chosen.items()}


def _plain(kind: type) -> dict[str, Any]:
    """Return the fields of a dataclass that hold a number or a text, with their types."""
    return {field.name: field.type for field in dataclasses.fields(kind) if field.type in (int, float, str)}


def _mapping(value: Any, place: str) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        raise InputError(f"{place} must hold fields, got {value!r}")
    return value or {}


def _checked(values: Mapping[str, Any], types: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return the values in the types of their fields; `InputError` names an unknown or ill-typed one."""
    checked = {}
    for name, value in values.items():
        if name not in types:
            raise InputError(f"unknown field {place}.{name}: expected one of {', '.join(types)}")
        wanted = types[name]
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not wanted:
            raise InputError(f"{place}.{name} must be {wanted.__name__}, got {value!r}")
        checked[name] = value
    return checked

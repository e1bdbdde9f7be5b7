"""A tiny MusicGen in audiocraft's own format with random weights, its T5 in a folder beside the checkpoints."""

from pathlib import Path
from typing import Any

from tests.tiny_stability_audio import save_t5


def build_tiny_audiocraft(
    folder: Path, channels: int = 1, melody: bool = False, named_codec: bool = False
) -> Path:
    """Write the folder and return it.

    Parameters
    ----------
    folder
        Folder to write.
    channels
        1 or 2.
    melody
        Whether the model listens to references, like musicgen-melody.
    named_codec
        Whether the codec is a folder in the format of transformers that its checkpoint only names.
    """
    import torch
    from omegaconf import OmegaConf

    from generators.musicgen.audiocraft.library import import_audiocraft
    from generators.musicgen.audiocraft.loading import build_language_model

    library = import_audiocraft()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_t5(folder / "t5-base", 32)
        codec, language = codec_config(), language_config(channels, melody)
        model = build_language_model(OmegaConf.create(language), folder / "t5-base", torch.float32)
        if melody:  # loud enough to be heard by a model of random weights
            model.condition_provider.conditioners["self_wav"].output_proj.weight.data *= 20
        torch.manual_seed(0)
        compression = library.builders.get_compression_model(OmegaConf.create({**codec, "device": "cpu"}))
        packages: list[tuple[str, dict[str, Any]]] = [
            ("state_dict.bin", {"xp.cfg": OmegaConf.to_yaml(language), "best_state": model.state_dict()}),
            (
                "compression_state_dict.bin",
                {"xp.cfg": OmegaConf.to_yaml(codec), "best_state": compression.state_dict()},
            ),
        ]
        if named_codec:
            _save_encodec(folder / "facebook" / "encodec_32khz")
            packages[1] = (packages[1][0], {"pretrained": "facebook/encodec_32khz"})
        for name, package in packages:
            torch.save({**package, "version": "1.3.0", "exported": True}, folder / name)
    return folder


def codec_config() -> dict[str, Any]:
    """Return the configuration of an EnCodec of four codebooks, 25 frames a second."""
    return {
        "compression_model": "encodec",
        "encodec": {
            "autoencoder": "seanet",
            "quantizer": "rvq",
            "sample_rate": 16_000,
            "channels": 1,
            "causal": False,
            "renormalize": False,
        },
        "seanet": {
            "dimension": 16,
            "channels": 1,
            "causal": False,
            "n_filters": 4,
            "n_residual_layers": 1,
            "ratios": [8, 5, 4, 4],
            "activation": "ELU",
            "activation_params": {"alpha": 1.0},
            "norm": "weight_norm",
            "norm_params": {},
            "kernel_size": 7,
            "residual_kernel_size": 3,
            "last_kernel_size": 7,
            "dilation_base": 2,
            "pad_mode": "constant",
            "true_skip": True,
            "compress": 2,
            "lstm": 1,
            "disable_norm_outer_blocks": 0,
            "decoder": {"trim_right_ratio": 1.0, "final_activation": None, "final_activation_params": None},
            "encoder": {},
        },
        "rvq": {
            "n_q": 4,
            "q_dropout": False,
            "bins": 64,
            "decay": 0.99,
            "kmeans_init": False,
            "kmeans_iters": 1,
            "threshold_ema_dead_code": 0,
            "orthogonal_reg_weight": 0.0,
            "orthogonal_reg_active_codes_only": False,
        },
    }


def language_config(channels: int, melody: bool) -> dict[str, Any]:
    """Return the configuration of a language model, with the keys of the published ones."""
    conditions = ["self_wav", "description"] if melody else ["description"]
    where = "prepend" if melody else "cross"
    conditioners: dict[str, Any] = {
        "description": {
            "model": "t5",
            "t5": {"name": "t5-base", "finetune": False, "word_dropout": 0.3, "normalize_text": False},
        }
    }
    if melody:
        chroma = {"sample_rate": 16_000, "n_chroma": 12, "radix2_exp": 12, "argmax": True}
        others = {
            "match_len_on_eval": False,
            "eval_wavs": None,
            "n_eval_wavs": 100,
            "cache_path": "/somewhere",
        }
        conditioners["self_wav"] = {"model": "chroma_stem", "chroma_stem": {**chroma, **others}}
        conditioners["args"] = {"merge_text_conditions_p": 0.25, "drop_desc_p": 0.5}
    delays = [codebook // channels for codebook in range(4 * channels)]
    return {
        "lm_model": "transformer_lm",
        "dataset": {"segment_duration": 5},
        "interleave_stereo_codebooks": {"use": channels == 2, "per_timestep": False},
        "compression_model_n_q": None,
        "transformer_lm": {
            "dim": 64,  # heads whose keys all start at a multiple of 64 bytes, as those of published models do
            "num_heads": 2,
            "num_layers": 2,
            "hidden_scale": 2,
            "n_q": 4 * channels,
            "card": 64,
            "dropout": 0.0,
            "activation": "gelu",
            "norm_first": True,
            "bias_ff": False,
            "bias_attn": False,
            "bias_proj": False,
            "causal": True,
            "custom": False,
            "memory_efficient": True,
            "attention_as_float32": False,
            "positional_embedding": "sin",
            "weight_init": "gaussian",
            "depthwise_init": "current",
            "zero_bias_init": True,
            "norm": "layer_norm",
        },
        "codebooks_pattern": {
            "modeling": "delay",
            "delay": {"delays": delays, "flatten_first": 0, "empty_initial": 0},
        },
        "classifier_free_guidance": {"training_dropout": 0.3, "inference_coef": 3.0},
        "attribute_dropout": {"text": {}, "wav": {}},
        "fuser": {
            "cross_attention_pos_emb": False,
            "cross_attention_pos_emb_scale": 1,
            "sum": [],
            "prepend": [],
            "cross": [],
            "input_interpolate": [],
            where: conditions,
        },
        "conditioners": conditioners,
    }


def _save_encodec(folder: Path) -> None:
    from transformers import EncodecConfig, EncodecModel

    config = EncodecConfig(
        sampling_rate=16_000,
        audio_channels=1,
        target_bandwidths=[4 * 25 * 6 / 1000],
        codebook_size=64,
        codebook_dim=16,
        hidden_size=16,
        num_filters=4,
        upsampling_ratios=[8, 5, 4, 4],
        num_lstm_layers=1,
        use_causal_conv=False,
        use_conv_shortcut=False,
    )
    codec = EncodecModel(config)
    for quantizer in codec.quantizer.layers:
        quantizer.codebook.embed.normal_()
    codec.save_pretrained(folder)

"""A tiny TuneJury: random weights in the files that its authors read, with all encoders beside it."""

import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data" / "tunejury"
CLAP, MERT, ROBERTA = "music_audioset_epoch_15_esc_90.14.pt", "MERT-v1-330M", "roberta-base"
WORDS = ["<s>", "<pad>", "</s>", "<unk>", "slow", "piano", "rock"]
ROBERTA_CONFIG: dict[str, Any] = {
    "model_type": "roberta",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 32,
    "max_position_embeddings": 90,
    "type_vocab_size": 1,
    "pad_token_id": 1,
    "layer_norm_eps": 1e-5,
}
MERT_CONFIG: dict[str, Any] = {
    "model_type": "mert_model",
    "auto_map": {"AutoModel": "modeling_MERT.MERTModel"},
    "conv_dim": [8] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "conv_bias": False,
    "feat_extract_norm": "group",
    "feat_proj_layer_norm": True,
    "do_stable_layer_norm": True,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "attention_relax": 32.0,
    "deepnorm": False,
    "feature_extractor_cqt": False,
    "feature_extractor_cqt_bins": 336,
    "mask_time_prob": 0.0,
    "sample_rate": 24000,
}
# what laion_clap saves beside what embeddings depend on
TRAINING_ONLY = {
    "audio_branch.spectrogram_extractor.stft.conv_real.weight": (1, 1, 1),
    "audio_branch.logmel_extractor.melW": (1, 1),
    "audio_branch.layers.1.blocks.1.attn_mask": (1, 1, 1),
    "audio_branch.tscam_conv.weight": (1, 1, 1, 1),
    "audio_branch.head.weight": (1, 1),
    "audio_transform.sequential.0.weight": (1, 1),
    "text_transform.sequential.0.weight": (1, 1),
    "text_branch.embeddings.position_ids": (1, 90),
}


def build_tiny_tunejury(folder: Path) -> Path:
    """Write the folder and return it."""
    import numpy as np
    import torch
    from safetensors.torch import load_file

    weights = load_file(DATA / "weights.safetensors")

    def part(name: str) -> dict[str, Any]:
        start = f"{name}."
        return {key.removeprefix(start): value for key, value in weights.items() if key.startswith(start)}

    for name in (MERT, ROBERTA):
        (folder / name).mkdir(parents=True)
    torch.save(part("head"), folder / "tunejury.pt")
    clap = {**part("clap"), **{key: torch.zeros(shape) for key, shape in TRAINING_ONLY.items()}}
    saved = {"epoch": 15, "metric": np.float64(90.14), "name": "tiny"}
    torch.save(
        {**saved, "state_dict": {f"module.{key}": value for key, value in clap.items()}}, folder / CLAP
    )
    (folder / MERT / "config.json").write_text(json.dumps(MERT_CONFIG))
    extractor = {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "do_normalize": True,
        "feature_size": 1,
    }
    extractor |= {"padding_value": 0.0, "return_attention_mask": True, "sampling_rate": 24000}
    (folder / MERT / "preprocessor_config.json").write_text(json.dumps(extractor))
    torch.save(part("mert"), folder / MERT / "pytorch_model.bin")
    build_tokenizer(folder / ROBERTA)
    (folder / ROBERTA / "config.json").write_text(json.dumps(ROBERTA_CONFIG))
    return folder


def build_tokenizer(folder: Path) -> Any:
    """Write a tokenizer of a few words, which puts texts between RoBERTa's two marks, and return it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    known = {word: index for index, word in enumerate(WORDS)}
    backend = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>")
    tokenizer.save_pretrained(folder)
    return tokenizer

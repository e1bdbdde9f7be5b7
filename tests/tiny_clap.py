"""A tiny CLAP with random weights, in the files of transformers."""

from pathlib import Path


def build_tiny_clap(folder: Path) -> Path:
    """Write the folder and return it."""
    import torch

    from music.library_repairs import repair_torchaudio

    repair_torchaudio()
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, PreTrainedTokenizerFast

    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    text |= {"vocab_size": 32, "max_position_embeddings": 40, "pad_token_id": 1}
    audio = {
        "patch_embeds_hidden_size": 8,
        "depths": [1, 1],
        "num_attention_heads": [1, 2],
        "num_hidden_layers": 2,
    }
    audio |= {"hidden_size": 16, "spec_size": 256, "window_size": 8, "num_mel_bins": 64, "patch_size": 4}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=12)).save_pretrained(folder)
    ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad").save_pretrained(folder)
    words = ["<s>", "<pad>", "</s>", "<unk>", "slow", "piano", "rock"]
    backend = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>")
    )
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", model_max_length=32
    ).save_pretrained(folder)
    return folder

"""A tiny Whisper with random weights that knows a few words, in the files of transformers."""

from pathlib import Path

WORDS = ("love", "night", "river", "dance", "blue", "heart", "rain", "again", "don't", "fire")
_LANGUAGES = ("en", "fr")


def build_tiny_whisper(folder: Path, multilingual: bool = True) -> Path:
    """Write the folder and return it."""
    import torch

    from music.library_repairs import repair_torchaudio

    repair_torchaudio()
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
    )

    pieces = [*sorted(ByteLevel.alphabet()), *(f"Ġ{word}" for word in WORDS), "<|endoftext|>"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=[])
    languages = [f"<|{language}|>" for language in _LANGUAGES] if multilingual else []
    special = ["<|startoftranscript|>", *languages, "<|translate|>", "<|transcribe|>", "<|notimestamps|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=16).save_pretrained(folder)
    ids = dict(zip(special, tokenizer.convert_tokens_to_ids(special), strict=True))
    end = vocabulary["<|endoftext|>"]
    config = WhisperConfig(
        vocab_size=len(tokenizer), num_mel_bins=16, d_model=16,
        encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_layers=2, decoder_attention_heads=2, decoder_ffn_dim=32,
        max_target_positions=32, decoder_start_token_id=ids["<|startoftranscript|>"],
        pad_token_id=end, bos_token_id=end, eos_token_id=end, init_std=0.6,
        suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WhisperForConditionalGeneration(config)
    spoken = {
        "lang_to_id": {language: ids[language] for language in languages},
        "task_to_id": {task: ids[f"<|{task}|>"] for task in ("translate", "transcribe")},
    }
    generation = GenerationConfig(
        decoder_start_token_id=ids["<|startoftranscript|>"], pad_token_id=end, bos_token_id=end, eos_token_id=end,
        no_timestamps_token_id=ids["<|notimestamps|>"], max_length=32, is_multilingual=multilingual,
        # only whole words, so that what is transcribed can be read
        suppress_tokens=[*range(len(ByteLevel.alphabet())), *ids.values()],
        **(spoken if multilingual else {}),
    )  # fmt: skip
    model.generation_config = generation
    model.save_pretrained(folder)
    return folder

"""MERT (arXiv 2306.00107), whose published models are a `HubertModel` of transformers but for their config."""

from pathlib import Path
from typing import Any

import torch

from music.errors import InputError
from music.files import read_object
from music.library_repairs import repair_torchaudio
from music.paths import is_file
from reward.cmi_rm.checkpoint import muq_tensors
from reward.cmi_rm.weights import load_strictly

FILES = ("config.json", "preprocessor_config.json", "model.safetensors", "pytorch_model.bin")
_OTHER = ("feature_extractor_cqt", "deepnorm")  # kinds of MERT that have layers of their own


def load_mert(folder: Path) -> tuple[Any, Any]:
    """Return the model, on the CPU, and the feature extractor of a folder with `FILES`.

    None of the code that lies beside published weights is run.

    Raises
    ------
    InputError
        If a file is missing or damaged, or the model is of another kind.
    """
    repair_torchaudio()  # transformers probes for it
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    fields = read_object(folder / "config.json")
    if fields.get("model_type") != "mert_model":
        raise InputError(f"{folder}: expected a MERT, got model_type {fields.get('model_type')!r}")
    if other := [name for name in _OTHER if fields.get(name)]:
        raise InputError(f"{folder}: a MERT with {other[0]} cannot be loaded; give one of m-a-p/MERT-v1")
    if not is_file(folder / "preprocessor_config.json"):
        raise InputError(f"the folder {folder} has no preprocessor_config.json")
    named = {
        name: value
        for name, value in fields.items()
        if name not in ("model_type", "auto_map", "architectures")
    }
    try:
        config = HubertConfig(**named)
        with torch.random.fork_rng(devices=[]):  # its first weights are thrown away
            model = HubertModel(config)
        extract = Wav2Vec2FeatureExtractor.from_pretrained(str(folder))
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"{folder} holds no MERT: {error}") from error
    load_strictly(model, muq_tensors(folder), f"the MERT of {folder}")
    return model, extract

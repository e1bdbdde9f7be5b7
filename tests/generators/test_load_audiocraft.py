"""Finding a MusicGen in audiocraft's format, and clear refusals of what cannot be one."""

import shutil
import sys
from pathlib import Path

import pytest
import torch

from generators.protocol import Job
from generators.registry import load_generator
from music.errors import InputError
from tests.generators.conftest import PROMPTS


def load(folder: Path | str, **options):
    return load_generator(folder, device="cpu", **options)


@pytest.fixture
def copy(audiocraft_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(audiocraft_folder, tmp_path / "copy"))


def edit(path: Path, **changes) -> None:
    """Change the configuration within a checkpoint, nested keys joined by two underscores."""
    from omegaconf import OmegaConf

    package = torch.load(path, weights_only=True)
    config = OmegaConf.create(package["xp.cfg"])
    for key, value in changes.items():
        OmegaConf.update(config, key.replace("__", "."), value)
    torch.save({**package, "xp.cfg": OmegaConf.to_yaml(config)}, path)


def test_a_folder_is_loaded_with_the_defaults_of_audiocraft(audiocraft_folder: Path):
    generator = load(audiocraft_folder)
    assert (generator.name, generator.sample_rate, generator.channels) == (str(audiocraft_folder), 16_000, 1)
    assert generator.max_seconds == 5
    expected = {"guidance": 3.0, "temperature": 1.0, "top_k": 250, "batch_size": 16, "dtype": "float32"}
    assert expected.items() <= generator.spec.items()
    assert generator.spec["versions"].keys() == {"audiocraft", "numpy", "torch", "transformers"}


def test_a_folder_with_files_of_both_libraries_is_run_by_transformers(copy: Path, mono_folder: Path):
    for file in mono_folder.iterdir():
        shutil.copy(file, copy / file.name)
    assert load(copy).spec["backend"] == "transformers"
    assert load(copy, backend="audiocraft").spec["backend"] == "audiocraft"


def test_stand_ins_are_gone_once_a_clip_is_made(copy: Path):
    list(load(copy).generate([Job(PROMPTS[0], 0, 3)], 0.1))
    stood_in = ("xformers", "spacy", "flashy", "julius", "num2words", "demucs")
    assert not [name for name in sys.modules if name.split(".")[0] in stood_in]


def test_the_weights_hash_follows_the_content_and_not_the_place(audiocraft_folder: Path, copy: Path):
    spec = load(audiocraft_folder).spec
    (copy / "README.md").write_text("notes")
    assert load(copy).spec == spec
    edit(copy / "state_dict.bin", dataset__segment_duration=4)
    changed = load(copy)
    assert changed.max_seconds == 4
    assert changed.spec["weights"] != spec["weights"]


def test_of_a_hub_repository_only_the_two_checkpoints_are_downloaded(
    copy: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[list[str]] = []

    def download(hub_id: str, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        return str(copy)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    generator = load("facebook/musicgen-small", backend="audiocraft")
    assert generator.name == "facebook/musicgen-small"
    assert asked == [["state_dict.bin", "compression_state_dict.bin"]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"lm_model": "transformer_lm_magnet"},
            "expected 'transformer_lm' as lm_model, got 'transformer_lm_mag",
        ),
        ({"codebooks_pattern__modeling": "parallel"}, "expected 'delay' as codebooks_pattern"),
        ({"codebooks_pattern__delay__delays": [0, 0, 1, 1]}, r"expected \[0, 1, 2, 3\] as delays"),
        ({"conditioners__description__model": "lut"}, "expected .*'t5'.* as conditions, got .*'lut'"),
        ({"conditioners__genre__model": "lut"}, "as conditions, got .*'genre'"),
        (
            {"transformer_lm__num_layers": 3},
            "cannot be loaded as MusicGen of audiocraft: .*transformer.layers.2",
        ),
    ],
)
def test_a_model_that_is_not_published_in_this_form_is_refused(copy: Path, changes: dict, message: str):
    edit(copy / "state_dict.bin", **changes)
    with pytest.raises(InputError, match=message):
        load(copy)


@pytest.mark.parametrize("file", ["state_dict.bin", "compression_state_dict.bin"])
def test_damaged_checkpoints_are_refused(copy: Path, file: str):
    whole = (copy / file).read_bytes()
    (copy / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=rf"{file} holds no .*MusicGen of audiocraft: it is damaged"):
        load(copy)
    torch.save({"xp.cfg": ""}, copy / file)
    with pytest.raises(InputError, match="cannot be loaded as MusicGen of audiocraft"):
        load(copy)
    (copy / file).unlink()
    with pytest.raises(InputError, match=rf"holds no model: it has no {file}|{file} holds no codec"):
        load(copy, backend="audiocraft")


def test_a_codec_that_does_not_fit_is_refused(copy: Path):
    path = copy / "compression_state_dict.bin"
    package = torch.load(path, weights_only=True)
    for name in [name for name in package["best_state"] if ".layers.3." in name and "quantizer" in name]:
        del package["best_state"][name]
    torch.save(package, path)
    edit(path, rvq__n_q=3)
    with pytest.raises(InputError, match=r"number of codebooks of the codec is 3, but the parts .* need 4"):
        load(copy)

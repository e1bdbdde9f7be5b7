"""Finding a Stable Audio, and clear refusals of what cannot be one."""

import shutil
from pathlib import Path

import pytest

from generators.registry import load_generator
from music.errors import InputError
from tests.generators.edited import edit


def load(folder: Path | str, **options):
    return load_generator(folder, device="cpu", **options)


@pytest.fixture
def copy(stable_audio_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stable_audio_folder, tmp_path / "copy"))


def test_a_folder_is_loaded_with_the_defaults_of_the_pipeline(stable_audio_folder: Path):
    generator = load(stable_audio_folder)
    assert (generator.name, generator.sample_rate, generator.channels) == (str(stable_audio_folder), 8_000, 2)
    assert generator.max_seconds == 64 * 128 / 8_000
    assert generator.accepts == {"text"}
    expected = {"steps": 100, "guidance": 7.0, "negative_prompt": "", "batch_size": 4, "dtype": "float32"}
    assert expected.items() <= generator.spec.items()
    assert generator.spec["versions"].keys() == {"diffusers", "numpy", "torch", "transformers"}


def test_the_weights_hash_follows_the_content_and_not_the_place(stable_audio_folder: Path, copy: Path):
    spec = load(stable_audio_folder).spec
    (copy / "README.md").write_text("notes")
    (copy / "model.safetensors").write_text("the same weights in another format")
    (copy / "transformer" / "diffusion_pytorch_model.fp16.safetensors").write_text("or in another type")
    assert load(copy).spec == spec
    for file, change in (("text_encoder/config.json", {"layer_norm_epsilon": 1e-5}),
                         ("scheduler/scheduler_config.json", {"sigma_min": 0.2})):  # fmt: skip
        before = load(copy).spec["weights"]
        edit(copy / file, **change)
        assert load(copy).spec["weights"] != before


def test_of_a_hub_repository_only_what_is_needed_is_downloaded(
    stable_audio_folder: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[list[str]] = []

    def download(hub_id: str, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        return str(copy)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert load("stabilityai/stable-audio-open-1.0").name == "stabilityai/stable-audio-open-1.0"
    assert asked[0] == ["model_index.json"]
    assert "transformer/diffusion_pytorch_model.safetensors" in asked[1]
    assert not any(pattern.startswith("*") for pattern in asked[1])

    asked.clear()
    edit(copy / "model_index.json", _class_name="MusicLDMPipeline")
    with pytest.raises(InputError, match=r"expected one of StableAudioPipeline, .*, got 'MusicLDMPipeline'"):
        load("somebody/something", backend="diffusers")
    assert asked == [["model_index.json"]]


def test_a_folder_of_another_backend_is_refused(mono_folder: Path, stable_audio_folder: Path):
    with pytest.raises(InputError, match=r"holds no model: it has no model_index\.json"):
        load(mono_folder, backend="diffusers")
    with pytest.raises(InputError, match=r"holds no model: it has no config\.json"):
        load(stable_audio_folder, backend="transformers")


def test_another_scheduler_is_refused(copy: Path):
    edit(copy / "model_index.json", scheduler=["diffusers", "EDMDPMSolverMultistepScheduler"])
    with pytest.raises(InputError, match="expected CosineDPMSolverMultistepScheduler as scheduler, got 'EDM"):
        load(copy)


@pytest.mark.parametrize("content", ["[]", "{", "nothing"])
def test_an_unreadable_index_is_refused(copy: Path, content: str):
    (copy / "model_index.json").write_text(content)
    with pytest.raises(InputError, match=r"model_index\.json"):
        load(copy)


@pytest.mark.parametrize(
    "part", ["vae", "text_encoder", "projection_model", "transformer", "tokenizer", "scheduler"]
)
def test_a_part_that_is_not_there_is_refused(copy: Path, part: str):
    shutil.rmtree(copy / part)
    with pytest.raises(InputError, match="cannot be loaded as Stable Audio"):
        load(copy)


@pytest.mark.parametrize(
    ("part", "file"),
    [("transformer", "diffusion_pytorch_model.safetensors"), ("text_encoder", "model.safetensors")],
)
def test_damaged_weights_are_refused(copy: Path, part: str, file: str):
    from safetensors.torch import load_file, save_file

    path = copy / part / file
    whole = path.read_bytes()
    path.write_bytes(whole[:-1000])
    with pytest.raises(InputError, match="cannot be loaded as Stable Audio"):
        load(copy)
    path.write_bytes(whole)
    tensors = load_file(path)
    missing = next(name for name in sorted(tensors) if "block" in name)
    del tensors[missing]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(InputError, match=rf"{part}: 1 weights are missing, the first is {missing}"):
        load(copy)
    path.unlink()
    with pytest.raises(InputError, match="cannot be loaded as Stable Audio"):
        load(copy)


def test_parts_that_do_not_fit_together_are_refused(copy: Path, mono_stable_audio_folder: Path):
    shutil.rmtree(copy / "vae")
    shutil.copytree(mono_stable_audio_folder / "vae", copy / "vae")
    with pytest.raises(InputError, match=r"in_channels of the transformer is 8, but the parts .* need 6"):
        load(copy)


def test_a_tokenizer_that_knows_no_longest_text_is_refused(copy: Path):
    edit(copy / "tokenizer" / "tokenizer_config.json", model_max_length=10**30)
    with pytest.raises(InputError, match="does not say how long a text may be"):
        load(copy)

"""Finding a generator by name, whatever runs it, and clear refusals of what cannot be one."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from generators.diffusion.pipeline_folder import LIBRARIES as DIFFUSERS
from generators.registry import NAMES, load_generator
from generators.stable_audio.tools.library import LIBRARIES as STABILITY
from music.errors import InputError
from music.optional_libraries import OptionalLibraries
from tests.generators.edited import edit
from tests.missing_extras import skip_without


def copy_of(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_a_folder_is_loaded_and_its_spec_says_what_decides_the_audio(mono, mono_folder: Path):
    assert (mono.name, mono.sample_rate, mono.channels) == (str(mono_folder), 16_000, 1)
    assert mono.accepts == {"text"}
    assert json.loads(json.dumps(mono.spec)) == mono.spec
    expected = {"batch_size": 4, "guidance": 3.0, "temperature": 1.0, "top_k": 250, "dtype": "float32"}
    assert expected.items() <= mono.spec.items()
    assert {"weights", "backend", "versions", "device", "text_multiple", "sampler"} <= mono.spec.keys()


def test_the_weights_hash_follows_the_content_and_not_the_place(mono, mono_folder: Path, tmp_path: Path):
    other = copy_of(mono_folder, tmp_path)
    (other / "README.md").write_text("notes")
    assert load_generator(other, device="cpu", batch_size=4).spec == mono.spec
    edit(other / "config.json", text_encoder__layer_norm_epsilon=1e-5)
    assert load_generator(other, device="cpu", batch_size=4).spec["weights"] != mono.spec["weights"]


def test_what_is_not_asked_for_is_as_the_model_says(mono_folder: Path, tmp_path: Path):
    other = copy_of(mono_folder, tmp_path)
    (other / "generation_config.json").write_text('{"guidance_scale": 2, "top_k": 50, "temperature": null}')
    spec = load_generator(other, device="cpu").spec
    assert (spec["guidance"], spec["temperature"], spec["top_k"]) == (2.0, 1.0, 50)
    assert load_generator(other, device="cpu", top_k=7).spec["top_k"] == 7
    (other / "model.safetensors").unlink()  # what follows is refused before weights are loaded
    (other / "generation_config.json").write_text('{"top_k": -5}')
    with pytest.raises(InputError, match="top_k must be at least 0"):
        load_generator(other, device="cpu")
    (other / "generation_config.json").write_text("{")
    with pytest.raises(InputError, match=r"generation_config\.json cannot be read"):
        load_generator(other, device="cpu")


_CODES = [
    ({"guidance": 0.9}, "guidance must be at least 1"),
    ({"temperature": 0}, "temperature must be above 0"),
    ({"top_k": -1}, "top_k must be at least 0"),
    ({"batch_size": 0}, "batch_size must be at least 1"),
    ({"steps": 8}, "no option 'steps': it takes guidance, temperature, top_k, batch_size"),
]
_LATENTS = [
    ({"steps": 1}, "steps must be at least 2"),
    ({"guidance": 0.9}, "guidance must be at least 1"),
    ({"guidance": 1, "negative_prompt": "noise"}, "negative_prompt has no effect"),
    ({"batch_size": 0}, "batch_size must be at least 1"),
    ({"top_k": 5}, "no option 'top_k': it takes sampling_steps, guidance, negative_prompt, batch_size"),
]
_ANY = [
    ({"dtype": "float16"}, "--dtype must be one of float32, bfloat16"),
    ({"device": "gpu"}, "--device gpu cannot be used here"),
]


@pytest.mark.parametrize(
    ("backend", "options", "message"),
    [
        ("magic", {}, "unknown backend 'magic': expected one of transformers"),
        *(("transformers", *case) for case in (*_CODES, *_ANY)),
        *(("audiocraft", *case) for case in (*_CODES, *_ANY)),
        *(("diffusers", *case) for case in (*_LATENTS, *_ANY)),
        *(("stable-audio-tools", *case) for case in (*_LATENTS, *_ANY)),
    ],
)
def test_a_wrong_option_is_refused_before_the_model_is_looked_for(backend: str, options: dict, message: str):
    with pytest.raises(InputError, match=message):
        load_generator("no-such-model", backend, **options)


@pytest.mark.parametrize(
    ("backend", "library", "cure"),
    [
        ("diffusers", "diffusers", r'pip install -e "\.\[diffusers\]"'),
        ("diffusers", "torchsde", r'pip install -e "\.\[diffusers\]"'),
        ("stable-audio-tools", "stable_audio_tools", r'pip install -e "\.\[stable-audio-tools\]" && pip'),
        ("stable-audio-tools", "k_diffusion", r'pip install -e "\.\[stable-audio-tools\]" && pip'),
        ("stable-audio-tools", "torchdiffeq", r'pip install -e "\.\[stable-audio-tools\]" && pip'),
        ("audiocraft", "audiocraft", r'pip install -e "\.\[audiocraft\]" && pip inst'),
        ("audiocraft", "omegaconf", r'pip install -e "\.\[audiocraft\]" && pip inst'),
    ],
)
def test_a_missing_library_is_named_with_its_cure(
    backend: str, library: str, cure: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, library, None)  # as where it is not installed
    with pytest.raises(InputError, match=f"needs {library}, .*: {cure}"):
        load_generator("somebody/some-music", backend)


@pytest.mark.parametrize("name", ["no-such-model", "./models/mine", "/nowhere/at/all", "a/b/c"])
def test_an_unknown_name_says_what_was_tried_and_what_exists(name: str):
    with pytest.raises(InputError, match=r"no folder of that name.*lab-musicgen.*facebook/musicgen-small"):
        load_generator(name, device="cpu")


@pytest.mark.parametrize(
    ("name", "libraries"),
    [
        ("facebook/musicgen-small", None),
        ("somebody/some-music", None),
        ("stabilityai/stable-audio-open-1.0", DIFFUSERS),
        ("stabilityai/stable-audio-open-small", STABILITY),
    ],
)
def test_a_hub_id_without_a_network_is_one_clear_line_and_no_attempt_to_connect(
    name: str, libraries: OptionalLibraries | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if libraries is not None:
        skip_without(libraries)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    attempts: list[tuple] = []
    for function in ("socket.socket.connect", "socket.getaddrinfo"):
        monkeypatch.setattr(function, lambda *details, **_: attempts.append(details))
    with pytest.raises(InputError, match=f"no folder {name}, none in.* cannot be reached .*lab-musicgen"):
        load_generator(name, device="cpu")
    assert attempts == []


def test_of_another_kind_of_model_on_the_hub_only_the_config_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[list[str]] = []

    def download(hub_id: str, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        (tmp_path / "config.json").write_text('{"model_type": "bert"}')
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(InputError, match="expected model_type musicgen or musicgen_melody, got 'bert'"):
        load_generator("somebody/some-text", device="cpu")
    assert asked == [["config.json"]]


def test_a_musicgen_on_the_hub_is_downloaded_and_loaded(mono_folder: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[list[str]] = []

    def download(hub_id: str, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        return str(mono_folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert load_generator("somebody/some-music", device="cpu").name == "somebody/some-music"
    assert asked[0] == ["config.json"]
    assert "model*.safetensors" in asked[1]


def test_all_registered_names_have_a_place():
    assert {"lab-musicgen", "facebook/musicgen-large", "facebook/musicgen-stereo-medium"} <= set(NAMES)
    assert all(source.startswith(("asset:", "hub:")) for _, source in NAMES.values())


def test_an_empty_folder_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"holds no model: it has no config\.json"):
        load_generator(tmp_path, device="cpu")


def test_another_kind_of_model_is_refused(mono_folder: Path, tmp_path: Path):
    folder = copy_of(mono_folder, tmp_path)
    edit(folder / "config.json", model_type="bert")
    with pytest.raises(InputError, match="expected model_type musicgen or musicgen_melody, got 'bert'"):
        load_generator(folder, device="cpu")


@pytest.mark.parametrize("damage", ["absent", "cut", "shape"])
def test_damaged_weights_are_refused(mono_folder: Path, tmp_path: Path, damage: str):
    folder = copy_of(mono_folder, tmp_path)
    weights = folder / "model.safetensors"
    if damage == "absent":
        weights.unlink()
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-1000])
    else:
        edit(folder / "config.json", decoder__ffn_dim=80)
    with pytest.raises(InputError, match="cannot be loaded as MusicGen"):
        load_generator(folder, device="cpu")


def test_a_missing_weight_is_an_error_and_not_a_random_one(mono_folder: Path, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    folder = copy_of(mono_folder, tmp_path)
    tensors = load_file(folder / "model.safetensors")
    del tensors["decoder.lm_heads.2.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"1 weights are missing, the first is decoder\.lm_heads\.2\.weight"):
        load_generator(folder, device="cpu")


def test_a_codec_of_too_few_codebooks_is_refused(mono_folder: Path, tmp_path: Path):
    folder = copy_of(mono_folder, tmp_path)
    bandwidths = json.loads((folder / "config.json").read_text())["audio_encoder"]["target_bandwidths"]
    edit(folder / "config.json", audio_encoder__target_bandwidths=[bandwidths[-1] / 2])
    with pytest.raises(InputError, match="the decoder makes 4 codebooks a channel, the codec has 2"):
        load_generator(folder, device="cpu")


def test_a_codec_of_other_codes_is_refused(mono_folder: Path, tmp_path: Path):
    folder = copy_of(mono_folder, tmp_path)
    edit(folder / "config.json", audio_encoder__codebook_size=32)
    with pytest.raises(InputError, match="cannot be loaded as MusicGen"):
        load_generator(folder, device="cpu")


def test_a_repository_of_another_library_is_refused_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda hub_id, **_: str(tmp_path))
    with pytest.raises(InputError, match=r"somebody/something has no config\.json, .* --backend diffusers"):
        load_generator("somebody/something", device="cpu")


def test_a_folder_of_a_published_name_takes_its_place(
    mono_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "facebook").mkdir()
    (tmp_path / "facebook" / "musicgen-small").symlink_to(mono_folder)
    weights = load_generator("facebook/musicgen-small", device="cpu").spec["weights"]
    assert weights == load_generator(mono_folder, device="cpu").spec["weights"]

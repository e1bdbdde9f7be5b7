"""Finding a model in the format of stable-audio-tools, and clear refusals of what cannot be one."""

import shutil
import sys
from pathlib import Path

import pytest

from generators.protocol import Job
from generators.registry import load_generator
from generators.stable_audio.tools.library import import_stability
from music.errors import InputError
from tests.generators.conftest import PROMPTS
from tests.generators.edited import edit


def load(folder: Path | str, **options):
    return load_generator(folder, device="cpu", **options)


@pytest.fixture
def copy(stability_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stability_folder, tmp_path / "copy"))


def test_each_kind_of_model_has_its_own_defaults(stability_folder: Path, velocity_stability_folder: Path):
    small, large = load(stability_folder), load(velocity_stability_folder)
    assert (small.name, small.sample_rate, small.channels) == (str(stability_folder), 8_000, 2)
    assert (large.sample_rate, large.channels) == (1_234, 1)
    assert small.max_seconds == 64 * 128 / 8_000
    assert (small.options.steps, small.options.guidance) == (8, 1.0)
    assert (large.options.steps, large.options.guidance) == (100, 7.0)
    assert small.spec["versions"].keys() == {
        "k-diffusion", "numpy", "stable-audio-tools", "torch", "transformers"
    }  # fmt: skip


def test_a_clip_longer_than_the_model_makes_is_refused_before_anything_is_made(stability_folder: Path):
    generator = load(stability_folder)
    with pytest.raises(InputError, match=r"--seconds must be at most 1\.024 for .*, got 1\.03"):
        generator.generate([Job(PROMPTS[0], 0, 3)], 1.03)


def test_stand_ins_are_gone_once_the_library_is_there(stability_folder: Path):
    import_stability()
    for name in ("torchvision", "k_diffusion", "flash_attn"):
        if name in sys.modules:  # the real one, loaded by somebody else: it knows its file
            assert sys.modules[name].__spec__.origin


def test_the_weights_hash_follows_the_content_and_not_the_place(stability_folder: Path, copy: Path):
    spec = load(stability_folder).spec
    (copy / "README.md").write_text("notes")
    (copy / "model.ckpt").write_text("the same weights in another format")
    assert load(copy).spec == spec
    edit(copy / "t5-base" / "config.json", layer_norm_epsilon=1e-5)
    changed = load(copy).spec["weights"]
    assert changed != spec["weights"]
    edit(copy / "model_config.json", training={})
    assert load(copy).spec["weights"] != changed


def test_a_negative_prompt_needs_guidance_which_the_small_model_has_not_by_itself(stability_folder: Path):
    with pytest.raises(InputError, match="negative_prompt has no effect without guidance"):
        load(stability_folder, negative_prompt="noise")
    with pytest.raises(InputError, match=r"the negative prompt has 30\d tokens, the model takes at most 128"):
        load(stability_folder, negative_prompt="x" * 300, guidance=2)


def test_a_text_encoder_that_is_only_named_is_looked_for_on_the_hub(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    shutil.rmtree(copy / "t5-base")
    with pytest.raises(InputError, match="no folder t5-base, none in the local hub cache"):
        load(copy)


def test_of_a_hub_repository_only_what_is_needed_is_downloaded(
    stability_folder: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
):
    t5 = Path(shutil.move(copy / "t5-base", copy.parent / "elsewhere"))
    asked: list[tuple[str, list[str]]] = []

    def download(hub_id: str, allow_patterns: list[str]) -> str:
        asked.append((hub_id, allow_patterns))
        return str(t5 if hub_id == "t5-base" else copy)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert load("stabilityai/stable-audio-open-small").name == "stabilityai/stable-audio-open-small"
    hub_id = "stabilityai/stable-audio-open-small"
    assert asked[:2] == [
        (hub_id, ["model_config.json"]),
        (hub_id, ["model_config.json", "model.safetensors"]),
    ]
    assert asked[2] == ("t5-base", ["config.json"])
    assert "model*.safetensors" in asked[3][1]

    asked.clear()
    edit(copy / "model_config.json", model_type="autoencoder")
    with pytest.raises(InputError, match="expected 'diffusion_cond' as model_type, got 'autoencoder'"):
        load("somebody/something", backend="stable-audio-tools")
    assert asked == [("somebody/something", ["model_config.json"])]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("model__diffusion__diffusion_objective", "rectified_flow", "'rf_denoiser' or 'v'"),
        ("model__pretransform__config__decoder__type", "dac", "'oobleck' as decoder, got 'dac'"),
        ("model__conditioning__configs__0__type", "clap_text", "'t5' as condition 'prompt', got 'clap"),
        ("model__conditioning__configs__1__id", "bpm", "'number' as condition 'seconds_total', got None"),
        ("audio_channels", 4, "expected 1 or 2 as audio channels, got 4"),
        ("model", {}, "cannot be read as a model of stable-audio-tools"),
    ],
)
def test_a_model_that_is_not_published_in_this_form_is_refused(copy: Path, place: str, value, message: str):
    edit(copy / "model_config.json", **{place: value})
    with pytest.raises(InputError, match=message):
        load(copy)


def test_damaged_weights_are_refused(copy: Path):
    from safetensors.torch import load_file, save_file

    path = copy / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1000])
    with pytest.raises(InputError, match="cannot be loaded as Stable Audio"):
        load(copy)
    path.write_bytes(whole)
    tensors = load_file(path)
    missing = next(name for name in sorted(tensors) if "cross_attn" in name)
    del tensors[missing]
    save_file(tensors, path)
    with pytest.raises(InputError, match=f"cannot be loaded as Stable Audio: .*{missing}"):
        load(copy)
    path.unlink()
    with pytest.raises(InputError, match=r"holds no weights: expected model\.safetensors or model\.ckpt"):
        load(copy)
    (copy / "model.ckpt").write_bytes(b"nothing")
    with pytest.raises(InputError, match="holds no Stable Audio: it is damaged"):
        load(copy)


def test_a_text_encoder_that_is_not_whole_is_refused(copy: Path):
    from safetensors.torch import load_file, save_file

    path = copy / "t5-base" / "model.safetensors"
    tensors = load_file(path)
    del tensors["encoder.block.1.layer.1.DenseReluDense.wo.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"t5-base: 1 weights are missing, the first is encoder\.block\.1"):
        load(copy)
    edit(copy / "t5-base" / "config.json", model_type="bert")
    with pytest.raises(InputError, match="expected model_type t5, got 'bert'"):
        load(copy)

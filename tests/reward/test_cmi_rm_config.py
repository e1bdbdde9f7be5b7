"""The published config schema: read, refused, written back."""

import pytest
import yaml

from music.errors import InputError
from reward.cmi_rm.config import CMIRMConfig, DownsamplerConfig, config_from_dict, config_to_dict, read_config


def test_golden_config(scoring):
    config = read_config(scoring / "sa_conv" / "config.yaml")
    assert (config.dim, config.heads, config.dim_head) == (24, 2, 8)
    assert (config.prompt_tf_depth, config.joint_tf_depth) == (1, 2)
    assert config.eval_downsampler == config.reference_downsampler == DownsamplerConfig("conv*2", 9)
    assert config.text_downsampler == DownsamplerConfig()
    assert config.null_lyrics.dropout == 0.3


def test_flat_and_nested_are_the_same(scoring, tmp_path):
    nested = yaml.safe_load((scoring / "sa_conv" / "config.yaml").read_text())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(nested["model"]))
    assert read_config(tmp_path / "config.yaml") == read_config(scoring / "sa_conv" / "config.yaml")


def test_written_config_is_read_back(scoring):
    for name in ("sa_plain", "sa_conv"):
        config = read_config(scoring / name / "config.yaml")
        assert config_from_dict(config_to_dict(config)) == config
    mixed = CMIRMConfig(
        attention_mode="CA",
        skip_null=True,
        eval_downsampler=DownsamplerConfig("b3", 6),
        reference_downsampler=DownsamplerConfig("mean", 2),
        text_downsampler=DownsamplerConfig("b1", 2, pre_mlp=True),
    )
    assert config_from_dict(config_to_dict(mixed)) == mixed


def test_streams_inherit_as_published():
    configs = {"short": {"kind": "mean", "factor": 5}, "long": {"kind": "conv", "factor": 2}}
    configs["none"] = {"kind": "none"}
    config = config_from_dict({"downsample": {"configs": configs, "eval": "short"}})
    assert config.reference_downsampler == config.eval_downsampler == DownsamplerConfig("mean", 5)
    assert config.text_downsampler == DownsamplerConfig()
    streams = {"eval": "short", "ref": "long", "text": "long"}
    config = config_from_dict({"downsample": {"configs": configs, **streams}})
    assert config.reference_downsampler == config.text_downsampler == DownsamplerConfig("conv", 2)
    assert config_from_dict({"downsample": None}).eval_downsampler == DownsamplerConfig()


def test_fields_we_do_not_act_on_are_accepted_by_name():
    fields = {"name": "reward", "freeze_audio": True, "freeze_text": True, "train_muq_depth": 0}
    fields |= {"load_config": {"a": 1}, "category_embeddings": None, "text_lora_config": {"use_lora": False}}
    fields |= {"use_layer_idx": -1, "sr": 24000}
    for encoder in (None, "muqmulan", {"name": "muq_mulan", "tune": "transformer"}):
        config = config_from_dict({**fields, "text_encoder": encoder})
        assert config.carried["load_config"] == {"a": 1}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dimm": 24}, "unknown field model.dimm"),
        ({"dim": "wide"}, "model.dim must be int, got 'wide'"),
        ({"dim": True}, "model.dim must be int"),
        ({"attention_mode": "XA"}, "SA or CA"),
        ({"mode": "text_only"}, "mode 'text_only' is not supported"),
        ({"sr": 16000}, "24000"),
        ({"output_dim": 3}, "output_dim"),
        ({"text_encoder": "t5"}, "text_encoder 't5'"),
        ({"text_lora_config": {"use_lora": True}}, "use_lora"),
        ({"null_embedding": {"melody": {}}}, "null_embedding.melody"),
        ({"null_embedding": {"text": {"size": 3}}}, "null_embedding.text.size"),
        ({"null_embedding": {"skip_null": "yes"}}, "skip_null"),
        ({"downsample": {"configs": {"a": {"kind": "mean", "speed": 2}}}}, "downsample.configs.a.speed"),
        ({"downsample": {"configs": {"a": {"kind": "max"}}}}, "kind 'max'"),
        ({"downsample": {"configs": {"a": {"kind": "conv", "stage": 2}}}}, "stage"),
        ({"downsample": {"configs": {"a": {"kind": "mean"}}, "eval": "b"}}, "downsample.eval is 'b'"),
        ({"downsample": {"audio": "b"}}, "downsample.audio"),
        ({"downsample": 9}, "downsample must hold fields"),
    ],
)
def test_bad_fields_are_named(fields, message):
    with pytest.raises(InputError, match=message):
        config_from_dict(fields)


@pytest.mark.parametrize("text", ["- 1", "model: [1]", "a: [", ""])
def test_bad_files_are_named(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=r"config\.yaml"):
        read_config(tmp_path / "config.yaml")


def test_what_decides_scores_is_what_acts():
    base = CMIRMConfig()
    assert base.acting() == CMIRMConfig(model_name="elsewhere", skip_null=True, ff_dropout=0.1).acting()
    assert base.acting() != CMIRMConfig(attention_mode="CA").acting()

"""The plan of a run: what it says follows from what a clip costs and what a device can do."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from music.errors import InputError
from music.shapes import Cost
from scaling.compute.devices import GPUS
from scaling.plan import Plan, main
from tests.tiny_musicgen import build_tiny_musicgen


def test_a_device_is_as_slow_as_what_it_waits_for():
    h100 = replace(GPUS["H100"], arithmetic=0.5, reading=0.5, operation=1e-5)
    assert h100.seconds(Cost(989e12, 1e9, 10), "bfloat16") == pytest.approx(2.0)
    assert h100.seconds(Cost(1e9, 3.35e12, 10), "bfloat16") == pytest.approx(2.0)
    assert h100.seconds(Cost(1e9, 1e6, 1e5), "bfloat16") == pytest.approx(1.0)
    assert h100.seconds(Cost(67e12, 0, 0), "float32") == pytest.approx(2.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_musicgen(tmp_path_factory.mktemp("tiny"))


def test_a_plan_is_told_written_and_corrected_by_a_calibration(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    given = {"generator": str(folder), "seconds": 0.3, "n": 4, "prompts": "10", "batch_size": 2}
    path = tmp_path / "calibration.json"
    main(Plan(**given, calibrate=path, output=tmp_path / "plan.json"))
    told = capsys.readouterr().out
    found = json.loads((tmp_path / "plan.json").read_text())
    measured = json.loads(path.read_text())
    assert "10 prompts x 4 clips of 0.3 s in float32 on cpu" in told
    assert "corrected by what was measured" in told
    assert ": fits" in told
    flop = found["flop"]
    assert flop["clip"] == pytest.approx(flop["generate"] + flop["decode"] + flop["score"])
    assert flop["run"] == pytest.approx(40 * flop["clip"] + 10 * flop["prompt"])
    assert found["disk"]["audio"] == pytest.approx(40 * 0.3 * 16_000 * 3)
    # 20 batches and 40 clips take what one was measured to take, beside the texts
    assert found["seconds"]["generate"] == pytest.approx(
        20 * measured["measured_seconds"]["generate"], rel=0.2
    )
    assert found["seconds"]["decode"] == pytest.approx(40 * measured["measured_seconds"]["decode"], rel=0.01)
    main(Plan(**{**given, "prompts": "20"}, measured=path, output=tmp_path / "again.json"))
    again = json.loads((tmp_path / "again.json").read_text())
    assert again["measured_over_estimated"] == found["measured_over_estimated"]
    with pytest.raises(InputError, match="was measured with --gpu cpu, not H100"):
        main(Plan(**given, gpu="H100", measured=path))


def test_what_does_not_fit_is_cured(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    small = replace(GPUS["4090"], memory=20e6, reserved=0.0)
    monkeypatch.setitem(GPUS, "4090", small)
    given = {"generator": str(folder), "seconds": 0.3, "prompts": "2", "n": 512, "gpu": "4090"}
    main(Plan(**given, batch_size=512))
    assert "does NOT fit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seconds": 0.0}, "--seconds must be above 0"),
        ({"calibrate": Path("a"), "measured": Path("b")}, "give one of them"),
    ],
)
def test_options_that_make_no_sense_are_refused(given: dict, message: str):
    with pytest.raises(InputError, match=message):
        Plan(**given)

"""`experiments.lab.prove` measures every part on a handful of clips, and does not measure again what is there."""

import json

import pytest

from experiments.lab import prove


@pytest.mark.slow
def test_every_part_is_measured_once(tmp_path, monkeypatch):
    monkeypatch.setattr(prove, "EAR_CLIPS", 2)
    options = prove.Prove(output=tmp_path, songs=6, pairs=1, prompts=4, chosen_prompts=3, n=3, workers=2)
    prove.main(options)
    proof = json.loads((tmp_path / "proof.json").read_text())
    assert proof["gold"]["coded"]["musicality"]["clips"] == 6
    assert proof["reward"]["alignment"]["lyrics only"]["pairs"] == 1
    assert proof["reward"]["musicality"]["all conditions"]["pairs"] == 4
    assert (proof["generator"]["clips"], proof["generator"]["prompts"]) == (4, 4)
    assert (proof["best_of_n"]["n_prompts"], proof["best_of_n"]["n"]) == (3, 3)
    assert set(proof["best_of_n"]["captured"]) >= {"reward", *prove.GOLD_METRICS}
    assert set(proof["ear"]) == {"real", "coded", "generated"}
    assert min(proof["minutes"].values()) > 0
    page = (tmp_path / "proof.md").read_text()
    assert page.count("\n## ") == 4
    assert "captured of the possible gain" in page
    assert (tmp_path / "curves.png").stat().st_size > 10_000

    def measured_again(*_):
        raise AssertionError

    for part in ("gold", "reward", "generator", "best_of_n", "ear"):
        monkeypatch.setattr(prove, f"measure_{part}", measured_again)
    prove.main(options)
    assert (tmp_path / "proof.md").read_text() == page

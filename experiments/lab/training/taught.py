"""Teaches the lab's reward on its generator: the loop (`rlhf.loop`), with raters who judge as the first gold does.

But they err. They answer 2,000 questions about clips for the prompts of `lab-train`, of which the last layer of the
head learns; older pairs beside the answers keep it from forgetting what it knew. Nothing else of the reward changes.
"""

from dataclasses import replace
from pathlib import Path

from music.durable import finished_folder, write_text
from reward.cmi_rm.checkpoint import load_head, save_checkpoint
from rlhf import loop
from rlhf.asking.options import RewardLoop

TEACHING = RewardLoop(rounds=2, budget=1_000, replay_share=0.5)


def train_cmi_rm_taught(output: Path, work: Path, generator: Path, pairs: Path) -> None:
    """Let the reward `output / "cmi_rm"` learn about a generator's clips, and save it as `output / "taught"`.

    Parameters
    ----------
    generator
        Folder of the generator.
    pairs
        Folder of the pairs that `train_cmi_rm_played` wrote, among which the older ones are.
    """
    older = pairs / "older.jsonl"
    write_text(older, "".join((pairs / name).read_text() for name in ("train.jsonl", "train_played.jsonl")))
    options = replace(
        TEACHING,
        generator=str(generator),
        reward=str(output / "cmi_rm"),
        replay=older,
        output=work / "loop",
    )
    loop.main(options)
    head, _ = load_head(options.output / "reward")
    with finished_folder(output / "taught") as folder:
        save_checkpoint(folder, replace(head.config, model_name="mulan"), head.half())

"""Runs the loop for each way of choosing pairs and each seed, and draws what it brings against the answers.

    python -m experiments.acquisition --workers 2 --output runs/acquisition
    python -m experiments.acquisition --acquisitions random,information --seeds 5 --reward runs/cmi_rm --rounds 8

All loops (`rlhf.loop`) ask about the same clips, which are made and judged once: ``OUT/clips``. Those of a seed have
the same raters, who say the same of the same pair, and the same held-out prompts. ``OUT/loops`` has a folder for each.
``table.md`` and ``table.csv`` tell, for each number of answers,

- what the judges say of the reward's best of n on the held-out prompts, and
- how alike reward and judges order the candidates of a prompt (Spearman),

each with its 95 % interval over prompts and seeds, the gain over the first reward, the difference from `random` at as
many answers, and that from `random` at twice as many; ``curves.png`` draws the gains. The same command goes on after a
kill, and with more rounds, seeds or ways.
"""

from __future__ import annotations

from experiments.acquisition.curves import RANDOM, curves_of
from experiments.acquisition.loops import make_clips, run_loops
from experiments.acquisition.options import CompareAcquisitions
from experiments.acquisition.report import write_curves
from music.durable import claim_work
from music.provenance import claim_folder


def main(options: CompareAcquisitions) -> None:
    """Make the clips, run the loops and tell what they brought; what is done is not done again."""
    claim_folder(options.output, options)
    free = {"acquisitions", "seeds", "rounds", "workers", "output", "device"}
    claim_work(
        options.output, options={name: value for name, value in vars(options).items() if name not in free}
    )
    judged = make_clips(options.loop_of(RANDOM, 0), options.clips)
    loops = {(way, seed): options.loop_of(way, seed) for seed in range(options.seeds) for way in options.ways}
    run_loops(loops, options.clips, options.workers)
    write_curves(options, curves_of(loops, judged))

"""Commands of `experiments.lab`."""

import sys

import experiments.lab
from music.subcommands import Command, dispatch

COMMANDS = {
    "train": Command("experiments.lab.train:TrainLab", "train the lab's models from nothing"),
    "check": Command(
        "experiments.lab.check:Check", "look quickly at what the models can do on held-out songs"
    ),
    "prove": Command("experiments.lab.prove:Prove", "measure anew what the models can do"),
    "pairs": Command("experiments.lab.pairs:WritePairs", "write held-out preference pairs with their audio"),
    "gold-check": Command("experiments.lab.gold_check:GoldCheck", "measure how right the gold judges are"),
    "gold-agreement": Command(
        "experiments.lab.gold_agreement:GoldAgreement",
        "measure how far the two gold judges agree about generated clips",
    ),
    "fact-gains": Command(
        "experiments.lab.fact_gains:FactGains", "measure what a reward's choice brings, fact by fact"
    ),
    "judgement-sets": Command(
        "experiments.lab.judgement_sets:WriteSets", "write sets of human-like judgements in published layouts"
    ),
    "judge-server": Command(
        "experiments.lab.judge_server:ServeJudge", "serve a judge of pairs whose errors are known"
    ),
    "show": Command("experiments.lab.show:Show", "draw spectrograms of clips"),
    "vae-check": Command("experiments.lab.vae_check:VaeCheck", "measure what the autoencoder keeps"),
}


def main(argv: list[str]) -> None:
    """Run the command that the first word names."""
    dispatch("python -m experiments.lab", experiments.lab.__doc__ or "", COMMANDS, argv)


if __name__ == "__main__":
    main(sys.argv[1:])

"""What the choices of CMI-RM's recipe are worth, measured on the lab's sets of judgement.

    python -m experiments.lab.judgement_sets            # the sets, once: runs/lab/sets
    python -m experiments.ablations training_sets       # one question of `studies.STUDIES`; all of them without a name

1. The sets become rows (`reward.data.prepare`), those that share something with the benchmark left out (`lab_data`).
2. The towers encode each clip and text once (`reward.embed`), on all cores.
3. Heads are trained from these embeddings (`reward.train`), in the stages that the study names (`stages`); studies
   share stages, and a killed one continues.
4. Each head is tested on the human pairs and ratings of the lab's CMI-RewardBench (`testing`), and the study becomes
   a table and a figure, with 95 % intervals over pairs and seeds (`report`).
"""

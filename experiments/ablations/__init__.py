"""What the choices of CMI-RM's recipe are worth, measured on the lab's sets of judgements.

1. The sets become rows (`reward.data.prepare`), without those that share something with the benchmark (`lab_data`).
2. The towers encode each clip and text once (`reward.embed`), on all cores.
3. Heads are trained from these embeddings (`reward.train`), in the stages that an ablation names (`stages`); ablations
   share stages, and a killed one continues.
4. Each head is tested on the human pairs and ratings of the lab's CMI-RewardBench (`testing`), and the ablation
   becomes a table and a figure, with 95 % intervals over pairs and seeds (`report`).
"""

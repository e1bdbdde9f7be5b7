"""Settings of the whole suite: one thread, no hub."""

import os

# Before torch is imported: tiny models run many times slower on two threads of a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"

import torch

torch.set_num_threads(1)

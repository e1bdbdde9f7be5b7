"""The shared vocabulary of the toolkit: prompts, clips, the candidate pool, scores, run records.

This is the lowest floor: it imports no other package of the project, and everything else may import it.
"""

import os

# Products whose rows and threads do not change their bits, where MKL computes them; it reads this at its first call.
os.environ["MKL_CBWR"] = os.environ.get("MKL_CBWR") or "AUTO"

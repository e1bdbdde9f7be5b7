"""Post-training: a generator learns from the reward.

    accelerate launch rlhf/train.py --algorithm expert_iteration --generator lab-musicgen --reward lab-cmi-rm

See `rlhf.train`. What a clip consists of comes from the candidate pool, or from the sampler itself, and is never
encoded again from audio.
"""

from music.library_repairs import repair_torchaudio

repair_torchaudio()  # trl, peft and transformers probe for torchaudio

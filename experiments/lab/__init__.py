"""The lab: a small musical world in which the truth is known, and small models of the real classes trained on it.

A song is a function of its split and its number (`world/corpus.py`): facts are drawn, a song is composed from them,
rendered through General MIDI instruments and, for some songs, damaged with a known severity. Captions, lyrics and
references describe the same facts in words and in sound. Pairs of songs have known answers, and simulated people and a
simulated judge err about them (`judgements/`). `python -m experiments.lab.train all` rebuilds every model in
`assets/lab/` from nothing (`training/`, `gold_judge/`), and `experiments.lab.prove` measures them anew (`proof/`).
"""

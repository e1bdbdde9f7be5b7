"""Listening tests: from pools of candidates to a blinded A/B study in a browser, and to statistics of its answers.

    python -m experiments.ab_test build "truth=data/musiccaps,top-10=POOL:10,top-1=POOL:1" --output runs/study
    python -m experiments.ab_test check runs/study          # nothing in the blinded folder reveals a system
    python -m experiments.ab_test serve runs/study/blinded  # the page for raters, on localhost
    python -m experiments.ab_test export runs/study --to answers
    python -m experiments.ab_test analyze runs/study        # screening, win rates, Bradley-Terry, agreement
    python -m experiments.ab_test plan --win_rate 0.6       # how many raters an effect needs

`build` writes a folder for the public, ``blinded/``, and ``key.json``, which `serve` and `static` never read. `demo`
does all of it on the lab's pool; `static` writes a page that needs no server.
"""

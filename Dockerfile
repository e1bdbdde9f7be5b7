# `make demo` in a container, on the CPU:
#
#     docker build --tag music-reward .
#     docker run --name demo music-reward
#     docker cp demo:/music-reward/runs/demo .     # open demo/report.html
#
# Another command goes behind the image's name: docker run music-reward .venv/bin/python -m generators list

FROM python:3.11-slim

RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home music && mkdir /music-reward && chown music /music-reward
USER music
WORKDIR /music-reward

# PyTorch without CUDA. For its builds with CUDA: --build-arg PIP_EXTRA_INDEX_URL=
ARG PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
ARG PIP_NO_CACHE_DIR=1

# What is installed, in a layer that stays while the code changes: empty packages stand in for it.
COPY --chown=music Makefile pyproject.toml setup.py ./
COPY --chown=music requirements requirements
RUN mkdir -p assets/lab music generators reward scaling rlhf experiments \
    && touch README.md LICENSE \
        music/__init__.py generators/__init__.py reward/__init__.py \
        scaling/__init__.py rlhf/__init__.py experiments/__init__.py \
    && make .venv/installed-run

COPY --chown=music . .
RUN make .venv/installed-run

CMD ["make", "demo"]

# make demo   the main job on the lab's models, with judges that know the truth: from a bare clone to runs/demo/report.html
# make test   lint, types and tests
# make docs   the pages of docs/ as a site: build/docs/index.html
# make wheel  dist/music_reward-*.whl, to install elsewhere
# They build .venv on the first call and install nothing on the next; only Python packages are downloaded.

PYTHON ?= python3
BIN := .venv/bin
# A stamp stands for a finished installation; it is older than what it was made from when that changes.
RUN_STAMP := .venv/installed-run
DEV_STAMP := .venv/installed-dev
DOCS_STAMP := .venv/installed-docs
SOURCES := pyproject.toml setup.py requirements/nodeps.txt
NODEPS_DEV := requirements/nodeps-backends.txt requirements/nodeps-baselines.txt

.PHONY: demo test lint types docs wheel clean

demo: $(RUN_STAMP)
	$(BIN)/accelerate launch --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no \
		scaling/best_of_n.py --n 10 --prompts lab-held-out --judges experiments.lab.gold:GoldB --output runs/demo
	@echo "Open runs/demo/report.html"

test: lint types
	OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV_STAMP)
	$(BIN)/mypy

docs: $(DOCS_STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "Open build/docs/index.html; its search needs a server: python3 -m http.server --directory build/docs"

# build/ is removed because files that have since moved would be packed from it.
wheel: $(RUN_STAMP)
	rm -rf build dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

$(RUN_STAMP): $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement requirements/nodeps.txt
	touch $@

$(DEV_STAMP): $(RUN_STAMP) $(NODEPS_DEV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(addprefix --requirement ,$(NODEPS_DEV))
	touch $@

$(DOCS_STAMP): $(RUN_STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[docs]"
	touch $@

clean:
	rm -rf .venv runs build dist *.egg-info

# Two commands do everything: `make repro` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
# Stages are run as `python stages/...`: the virtual environment comes first.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: repro test quick bench soak setup musdb18-7 clean

repro: setup
	dvc repro
	@echo "report: report/index.html and report/report.md"

test: setup
	ruff check .
	ruff format --check .
	mypy
	mypy stages
	mypy benchmarks
	pytest

quick: setup
	pytest -m "not slow"

# Speed, as ratios measured side by side; wants a machine with nothing else to do.
bench: setup
	python benchmarks/bench.py

# Kill stages and `dvc repro` at random moments, and compare what comes out (docs/reliability.md).
soak: setup
	python tests/soak/soak.py --out checkpoints/soak.json

setup: $(STAMP)

$(STAMP): requirements.txt requirements-no-deps.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --requirement requirements.txt
	$(VENV)/bin/python -m pip install --quiet --no-deps --requirement requirements-no-deps.txt
	$(VENV)/bin/python -m pip install --quiet --no-deps --editable .
	touch $(STAMP)

# The official seven-second previews (about 140 MB); needs a network.
musdb18-7: setup
	python -c 'from stemproof.data.codec import import_musdb; \
	  import_musdb("pyav").DB(root="data/musdb18-7", download=True)'

clean:
	rm -rf checkpoints .pytest_cache .mypy_cache .ruff_cache .hypothesis

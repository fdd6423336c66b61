# Two commands do everything: `make repro` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
# Stages are run as `python stages/...`: the virtual environment comes first.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

# One process a core, whose threads do not spin while they wait; a file's tests stay together, and share what its fixtures made.
PYTEST := OMP_WAIT_POLICY=passive pytest --numprocesses logical --dist loadfile --no-loadscope-reorder

.PHONY: repro test quick bench soak site plots setup lock musdb18-7 clean

# The verdicts are said at the end also where nothing had to run again.
repro: setup
	dvc repro
	@sed -n '/^\*\*/{s/[*\\]//g;p;}' report/report.md
	@echo "report: report/index.html and report/report.md"

test: setup
	ruff check .
	ruff format --check .
	mypy
	mypy stages
	mypy benchmarks
	$(PYTEST)

quick: setup
	$(PYTEST) -m "not slow"

# Speed, as ratios measured side by side; wants a machine with nothing else to do.
bench: setup
	python benchmarks/bench.py

# Kill stages and `dvc repro` at random moments, and compare what comes out; then give every reader of
# files what it was not made for; then push to an S3 server that dies half-way (docs/reliability.md).
# The packages that are installed here are needed for nothing else.
soak: setup
	python tests/soak/soak.py --out checkpoints/soak.json
	python -c 'import atheris' 2>/dev/null || $(VENV)/bin/python -m pip install --quiet atheris==3.0.0
	python tests/soak/fuzz.py --out checkpoints/fuzz.json
	python -c 'import dvc_s3, moto.server' 2>/dev/null || $(VENV)/bin/python -m pip install --quiet 'dvc-s3==3.3.0' 'moto[server]==5.2.5'
	$(PYTEST) tests/pipeline/test_remote.py

# The pages of docs/ as a site, in build/site; a link between them that leads nowhere is an error.
SITE := .venv-site
site: $(SITE)/.installed
	NO_MKDOCS_2_WARNING=1 $(SITE)/bin/mkdocs build --strict --quiet
	@echo "site: build/site/index.html"

$(SITE)/.installed: requirements-site.txt
	$(PYTHON) -m venv $(SITE)
	$(SITE)/bin/python -m pip install --quiet --requirement requirements-site.txt
	touch $@

# DVC's page of plots with its drawing code inside, which npm fetches once: dvc_plots/index.html.
VEGA := vega vega-lite vega-embed
VEGA_VERSIONS := vega@5.20.2 vega-lite@5.2.0 vega-embed@6.18.2
plots: setup
	mkdir -p build/vega
	cd build/vega && npm pack --silent $(VEGA_VERSIONS) > packed
	cd build/vega && for name in $(VEGA); do tar xzOf $$name-[0-9]*.tgz package/build/$$name.min.js > $$name.min.js; done
	python -m stemproof.report.offline build/plots.html $(VEGA:%=build/vega/%.min.js)
	dvc plots show --html-template build/plots.html

setup: $(STAMP)

REQUIREMENTS := requirements.txt requirements-torch.txt requirements-no-deps.txt

$(STAMP): $(REQUIREMENTS) pyproject.toml programs.pth
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.txt
	$(VENV)/bin/python -m pip install --quiet --requirement requirements-torch.txt
	$(VENV)/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-no-deps.txt
	$(VENV)/bin/python -m pip install --quiet --no-deps --editable .
	cp programs.pth "$$($(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	touch $(STAMP)

# Newer versions of everything but torch, pinned with hashes; then install, test, and write the
# page of licences. What torch itself brings for CUDA stays out.
LOCK := .venv-lock
UV := $(LOCK)/bin/uv pip compile --quiet --python-version 3.11 --no-header --no-annotate
lock:
	$(PYTHON) -m venv $(LOCK)
	$(LOCK)/bin/python -m pip install --quiet uv
	$(UV) --upgrade --extra dev --constraint requirements-torch.txt pyproject.toml > $(LOCK)/all.txt
	grep -vE '^((torch|triton|setuptools)==|nvidia-|cuda-)' $(LOCK)/all.txt > $(LOCK)/pins.txt
	$(UV) --universal --no-deps --generate-hashes $(LOCK)/pins.txt > $(LOCK)/hashed.txt
	(grep '^#' requirements.txt; cat $(LOCK)/hashed.txt) > $(LOCK)/requirements.txt
	mv $(LOCK)/requirements.txt requirements.txt
	rm -rf $(LOCK)
	@echo "now: make test, and $(VENV)/bin/python -m stemproof.report.licences"

# The official seven-second previews (about 140 MB); needs a network.
musdb18-7: setup
	python -c 'from stemproof.data.codec import import_musdb; \
	  import_musdb("pyav").DB(root="data/musdb18-7", download=True)'

clean:
	rm -rf checkpoints .pytest_cache .mypy_cache .ruff_cache .hypothesis

# make book   install, run every chapter of EDITION, build the site     make lab    JupyterLab
# make test   install, run the tests                                    make bench  time what must be fast
# TORCH=cpu, where the first of them installs: PyTorch without CUDA
PYTHON  ?= python3
EDITION ?= scenes
VENV    := .venv
BIN     := $(VENV)/bin
STAMP   := $(VENV)/.installed
SOURCES := $(shell find src book editions _config.yml _toc.yml -type f -not -path '*/.*' -not -name '*.pyc')
TESTS   := $(shell find tests benchmarks -type f -name '*.py') Makefile environment.yml README.md
BUILT   := _build/$(EDITION)/.built
# With real data at hand other tests run, so it has a stamp of its own.
TESTED  := _build/.tested$(if $(ARLIB_DATA),-with-data)

.PHONY: book test soak install lab bench clean constraints
book: $(BUILT)
test: $(TESTED)
install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt tools/install.sh
	PYTHON="$(PYTHON)" VENV="$(VENV)" TORCH="$(TORCH)" sh tools/install.sh
	@touch $@

$(BUILT): $(STAMP) $(SOURCES)
	$(BIN)/arlib run $(EDITION)
	@touch $@

$(TESTED): $(STAMP) $(SOURCES) $(TESTS)
	$(MAKE) --no-print-directory -j 3 --keep-going --output-sync=target $(PARTS)  # two cores, and one for tests that wait
	@mkdir -p $(@D) && touch $@

# Each part of the tests in a process of its own: one that dies ends no other. Each imports PyTorch
# and all that is tested once: more parts would do so more often.
PARTS := $(addprefix test-,book work lines rest)
test-book:  FILES = tests/book tests/publishing
test-work:  FILES = $(addprefix tests/,scoring networks proposals benchmarks figures _support) src
test-lines: FILES = tests/cli tests/experiments
test-rest:  FILES = $(addprefix tests/,datasets evaluation method) $(wildcard tests/test_*.py)
.PHONY: $(PARTS)
$(PARTS):
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -p no:cacheprovider $(FILES)

soak: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m slow
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 0 -m "" -o "norecursedirs=.*" tests/scoring/soak/soak.py

lab: $(STAMP)
	$(BIN)/arlib lab

bench: $(STAMP)
	for f in benchmarks/bench_*.py; do echo "== $$f"; $(BIN)/python $$f || exit 1; done

constraints: $(STAMP)
	( echo "# The exact versions behind the published book. Renewed by: make constraints"; \
	  $(BIN)/pip freeze --exclude-editable | grep -iv '^arlib\|-headless==' \
	  | sed 's/^opencv-contrib-python==\(.*\)/&\nopencv-contrib-python-headless==\1/' ) > constraints.txt

clean:
	rm -rf _build $(VENV)

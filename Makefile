# Two commands set everything up by themselves: `make demo` and `make test`.
# PYTHON may name another interpreter: make test PYTHON=python3.12

SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin

.PHONY: help install demo test lint browser unit live-tests slow test-latest wheel-test faults sim mutants fuzz bench docs clean
help:
	@echo "make demo         install, run a week of the street, then 12 intervals of it"
	@echo "                  over real libp2p"
	@echo "make test         install, lint, all tests but the long ones"
	@echo "make slow         the long ones, of which make test runs a sample: months and"
	@echo "                  years of homes, every example of every property"
	@echo "make test-latest  --json of every command with the newest allowed versions, in"
	@echo "                  an environment of its own"
	@echo "make wheel-test   build wheel and sdist, install the wheel into an empty folder,"
	@echo "                  run the first commands of the README"
	@echo "make sim          neighbourhoods and the consensus core under seeded faults,"
	@echo "                  2,450 seeds"
	@echo "make mutants      each rule of validation switched off once: a test must fail"
	@echo "                  for each; MUTANTS=... for some"
	@echo "make fuzz         hostile bytes against every reader, then 10,000 hostile files;"
	@echo "                  SECONDS=... and FILES=... for a long run"
	@echo "make faults       processes killed, stopped, cut off and with damaged files,"
	@echo "                  over real libp2p; a quarter of an hour"
	@echo "make bench        the measured figures, as ratios to a yardstick of the same run"
	@echo "make docs         the pages of docs/ with an API reference and a search, as a"
	@echo "                  site in site/"
	@echo "make lint         ruff, mypy --strict, import-linter, codespell"

install: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "wattswap needs Python 3.11, 3.12 or 3.13; none is on the PATH. Name one: make $(MAKECMDGOALS) PYTHON=..."; exit 2; }
	@# libp2p's dependency fastecdsa has no wheel: it is compiled and needs gcc and gmp.h.
	@if ! { command -v gcc && echo '#include <gmp.h>' | gcc -E -x c - ; } >/dev/null 2>&1; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "Installing the system packages gcc and libgmp-dev ..."; \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq gcc libc6-dev libgmp-dev >/dev/null; \
		else \
			echo "wattswap needs the system packages gcc and libgmp-dev (Debian and Ubuntu: sudo apt-get install gcc libgmp-dev; Fedora: gcc gmp-devel; macOS: xcode-select --install and brew install gmp). Install them, then call make again."; exit 2; \
		fi; fi
	@echo "Installing wattswap with $$($(PYTHON) --version) into .venv:"
	@echo "about 750 MB, two to ten minutes the first time."
	@echo "1 of 3  an empty environment ..."
	@$(PYTHON) -m venv .venv
	@echo "2 of 3  the packages of constraints.txt, and fastecdsa compiled; each is named"
	@echo "        as it comes ..."
	@begun=$$SECONDS; $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[dev]' \
		> .venv/install.log 2>&1 & pip=$$!; \
		while kill -0 $$pip 2>/dev/null; do sleep 5; \
			now=$$(tail -n 1 .venv/install.log | cut -c 1-64); [ "$$now" = "$$shown" ] || echo "        $$((SECONDS - begun)) s  $$now"; \
			shown=$$now; done; \
		wait $$pip || { tail -n 20 .venv/install.log; echo "The installation failed; all of its output is in .venv/install.log"; exit 1; }
	@echo "3 of 3  done: $$(du -sm .venv | cut -f 1) MB."
	@touch $@

demo: install
	$(BIN)/wattswap run demo
	@echo
	$(BIN)/wattswap live demo --at 2016-09-19T04:15Z --intervals 12
	@echo
	@echo "Next:"
	@echo "  . .venv/bin/activate"
	@echo "  # the week as one page:"
	@echo "  wattswap report $$(ls -td runs/*/ | grep -v partial | tail -n +2 | head -n 1)"
	@echo "  # start from meter data of your own:"
	@echo "  wattswap new mine --template csv && wattswap run mine"

test: lint unit live-tests

# Tests start hundreds of processes; each would compile the packages anew where the environment forbids stored bytecode.
unit live-tests slow faults: export PYTHONDONTWRITEBYTECODE =

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

# The tests of reports need a Chromium; without one they are skipped and say so.
browser:
	@if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null && ! command -v google-chrome >/dev/null \
		&& [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing the system package chromium ..."; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; } >/dev/null 2>&1 \
			|| echo "There is no chromium to install: the tests of reports in a browser are skipped."; \
		fi

# Two workers for the many short tests; the tests with sockets and real time follow alone.
unit: install browser
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not live and not slow"

live-tests: install
	$(BIN)/python -m pytest -m "live and not slow"

# What `make test` has a sample of, without sockets; EXAMPLES=all makes every property slow, with all of its examples.
slow: export EXAMPLES = all
slow: install
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "slow and not live"

# What the newest allowed versions print and break: no constraints.txt here.
LATEST := build/latest
test-latest:
	@echo "Installing the newest allowed versions into $(LATEST) ..."
	@rm -rf $(LATEST) && mkdir -p build && $(PYTHON) -m venv $(LATEST)
	@$(LATEST)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@$(LATEST)/bin/python -m pip list --format freeze | grep -iE '^(highspy|numpy|pandas|pyarrow|pyomo|libp2p|typer)='
	$(LATEST)/bin/python -m pytest tests/wattswap/cli/test_json.py tests/optimizer/test_session.py

# As somebody installs it who has no checkout: the wheel, an empty environment, an empty folder, the README's first commands.
WHEEL := build/wheel
wheel-test: install
	@rm -rf $(WHEEL) && mkdir -p $(WHEEL)/empty
	$(BIN)/python -m hatchling build -d $(WHEEL) -t wheel -t sdist
	@echo "Installing the wheel into $(WHEEL)/venv ..."
	@$(PYTHON) -m venv $(WHEEL)/venv
	@$(WHEEL)/venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(WHEEL)/*.whl
	@echo "$$(du -sm $(WHEEL)/venv/lib/python*/site-packages | cut -f 1) MB in site-packages"
	cd $(WHEEL)/empty && export PATH="$$PWD/../venv/bin:$$PATH" && wattswap run demo --quiet && RUN=$$(ls -d runs/*) \
		&& wattswap report $$RUN && wattswap show $$RUN why home-04 && wattswap verify $$RUN --json && wattswap new mine --template csv \
		&& wattswap run mine --quiet && wattswap doctor

# What `make test` has a sample of: faults of whole processes over libp2p, one after another.
faults: install
	$(BIN)/python -m pytest -m live tests/faults

# The consensus core, and whole neighbourhoods, under seeded faults; SEEDS=10000 for a night, in slices if need be.
SEEDS ?= 1000
sim: install
	$(BIN)/python -m wattswap.simulation --seeds 0..$(SEEDS)
	$(BIN)/python -m wattswap.simulation --seeds 0..$$(( $(SEEDS) / 10 )) --validators 7
	$(BIN)/python -m wattswap.simulation --seeds 0..$$(( $(SEEDS) / 10 )) --gateways 2
	$(BIN)/python -m wattswap.simulation --seeds 0..$$(( $(SEEDS) / 2 )) --byzantine
	$(BIN)/python -m wattswap.simulation --seeds 0..$$(( $(SEEDS) / 5 )) --sealed
	$(BIN)/python -m wattswap.simulation --seeds 0..$$(( $(SEEDS) / 5 )) --sealed --byzantine
	$(BIN)/python -m wattswap.simulation --seeds 0..$$(( $(SEEDS) / 20 )) --byzantine --validators 7
	$(BIN)/python -m tests.sim --seeds $(SEEDS) --n 4
	$(BIN)/python -m tests.sim --seeds $$(( $(SEEDS) / 5 )) --n 7
	$(BIN)/python -m tests.sim --seeds $$(( $(SEEDS) / 20 )) --n 13

# What `make test` has five of, drawn by the commit. MUTANTS="checker snapshot" runs those whose names begin so.
mutants: install
	$(BIN)/python -m tests.mutants $(MUTANTS)

# A failing input is saved in fuzz-failures; the printed seed repeats the run.
SECONDS ?= 60
FILES ?= 10000
fuzz: install
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)
	$(BIN)/python -m tests.fuzz.meter_files --files $(FILES)

bench: install
	$(BIN)/python -m benchmarks

# The extra `docs` is added to what is installed; --strict makes a broken link or a page outside the navigation an error.
.venv/.docs-installed: .venv/.installed
	@echo "Installing the tools of the site ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,docs]'
	@touch $@

docs: .venv/.docs-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Read it with:  $(BIN)/python -m http.server --directory site"

clean:
	rm -rf site .venv runs build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

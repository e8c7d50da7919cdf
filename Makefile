# `make run` opens the app, `make test` checks everything; both first set up .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One thread each: tests and sessions run side by side, and more threads than cores are far slower.
export OMP_NUM_THREADS := 1
SIDE_BY_SIDE := --numprocesses auto --maxprocesses 4

.PHONY: setup run test coverage browser postgres screenshots bench clean

setup: $(VENV)/ready

$(VENV)/ready: requirements.txt requirements-dev.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Prunescope needs Python 3.11 or newer; name one with make PYTHON=...')"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	touch $@

# A network of your own: make run MODEL=package.module:function DATA=package.module:function
run: setup
	$(BIN)/streamlit run app.py $(if $(MODEL)$(DATA),-- $(if $(MODEL),--model $(MODEL)) $(if $(DATA),--data $(DATA)))

test: setup browser postgres
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest $(SIDE_BY_SIDE)

# Counting lines makes the tests take nearly twice as long.
coverage: setup browser postgres
	$(BIN)/pytest $(SIDE_BY_SIDE) --cov --cov-report=term --cov-fail-under=90

browser: setup
	$(BIN)/python -m tests.e2e.install_browser

postgres: setup
	$(BIN)/python -m tests.install_postgres

screenshots: setup browser
	$(BIN)/python -m tests.e2e.screenshots

bench: setup browser
	$(BIN)/python -m benchmarks.live

clean:
	rm -rf $(VENV)

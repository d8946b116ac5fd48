# Two commands: `make demo` and `make test`. Neither needs Docker or root; both work as root.
PYTHON ?= python3
VENV := .venv
# An environment that forbids bytecode makes every Dagster process compile all its imports again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check clean-demo bench lock
demo: $(VENV)/.ready
	$(VENV)/bin/lc2-backup demo $(ARGS)

clean-demo: $(VENV)/.ready
	$(VENV)/bin/lc2-backup demo --clean

test: check
	$(VENV)/bin/python -m pytest -n 2 --dist loadscope $(ARGS)

check: $(VENV)/.ready
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/pyright

bench: $(VENV)/.ready
	$(VENV)/bin/python -m benchmarks $(ARGS)

# Hashes of every package are checked; --compile because nothing may depend on who imports first.
$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11, 3.12 or 3.13 is needed, this is " + sys.version.split()[0] + "; call make PYTHON=python3.11 ...") if not (3, 11) <= sys.version_info[:2] < (3, 14) else 0'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --compile --require-hashes -r requirements.lock
	$(VENV)/bin/python -m pip install --quiet --compile --no-deps --no-build-isolation -e .
	touch $@

# Writes the lock without registry addresses; needs uv.
lock:
	uv pip compile pyproject.toml --all-extras --universal --generate-hashes --no-emit-index-url --no-strip-extras --no-annotate -o requirements.lock
	uv pip compile pyproject.toml docker/requirements.in --extra aws --extra kubernetes --constraint requirements.lock --universal --generate-hashes --no-emit-index-url --no-strip-extras --no-annotate -o docker/requirements.lock

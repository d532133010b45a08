# make demo          the example site on http://127.0.0.1:8000, in one process, nothing else to install
# make test          every test; installs the servers they need where it may
# make test-all      the same under every supported Python and Django that this machine can run
# make chaos         kill -9, restarts and floods against reliable channels, in full: an hour or so
# make soak          the same for sockets, groups and the worker
# make lint types    style and types
# make items         the table of behaviours and tests, from the numbers in the tests
# make bench         the figures
# make growth        how they grow, as plots
# make up            the production shape on this machine: Redis, RabbitMQ, interface, worker
# make clean         what the others left behind, but for the virtual environment
#
# PYTHON, VENV and PORT can be set on the command line: make demo PYTHON=python3.12 PORT=8001

PYTHON ?= python3
VENV ?= .venv
PORT ?= 8000
# Processes that run tests beside each other: most of these wait for servers.
TEST_PROCESSES ?= 4
# By files, as servers are shared within one; in their order, which has the long ones first.
in_processes = --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder
# More arguments for pytest: make test PYTEST_ARGS="tests/unit -k names"
PYTEST_ARGS ?=
# Arguments for tox: make test-all TOX_ARGS="-e py313-django6"
TOX_ARGS ?=
# Arguments for the figures: make bench BENCH_ARGS=--quick
BENCH_ARGS ?=

# Ports of `make up`, beside those of system services.
UP_REDIS_PORT ?= 6390
UP_RABBITMQ_PORT ?= 5690

bin := $(VENV)/bin
pip := $(bin)/python -m pip --disable-pip-version-check install --quiet
manage := $(bin)/python example_site/manage.py
# The demo runs in memory, whatever the caller's shell says about brokers.
in_memory := env -u CELERY_BROKER_URL -u CHANNEL_LAYER_URL

# How long tests run when they run in full; `make test` holds their short form.
chaos soak: export TEST_SCALE = full

.PHONY: demo test test-all chaos soak lint types items bench growth up clean
.DEFAULT_GOAL := demo

$(bin)/python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "This needs Python 3.11 or newer. If you have one: make PYTHON=python3.12")'
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

# Stamps, so that nothing is installed again until pyproject.toml changes.
$(VENV)/.installed: pyproject.toml | $(bin)/python
	@echo "Installing channelcelery in $(VENV) ..."
	@$(pip) -e .
	@touch $@

$(VENV)/.installed-for-development: pyproject.toml | $(bin)/python
	@echo "Installing channelcelery and the tools of its developers in $(VENV) ..."
	@$(pip) -e '.[test,dev]'
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed
	@$(in_memory) $(manage) migrate --noinput --verbosity 0
	@echo "The example site is on http://127.0.0.1:$(PORT)/ - Ctrl-C ends it."
	@exec $(in_memory) $(manage) runserver --noreload 127.0.0.1:$(PORT)

test: $(VENV)/.installed-for-development
	@sh scripts/test-needs
	@$(bin)/python -m pytest $(in_processes) $(PYTEST_ARGS)

# The Pythons of pyenv are found too: its commands on the PATH run only those that a setting names.
pyenv_pythons = $(wildcard $(addsuffix /versions/3.1[1-9].*/bin/python,$(shell pyenv root 2>/dev/null)))
test-all: $(VENV)/.installed-for-development
	@sh scripts/test-needs
	@$(bin)/tox run $(if $(pyenv_pythons),--discover $(pyenv_pythons)) $(TOX_ARGS) -- $(in_processes) $(PYTEST_ARGS)

chaos soak: $(VENV)/.installed-for-development
	@sh scripts/test-needs
	@$(bin)/python -m pytest -m $@ $(PYTEST_ARGS)

lint: $(VENV)/.installed-for-development
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .

types: $(VENV)/.installed-for-development
	@$(bin)/mypy --strict channelcelery

items: $(VENV)/.installed-for-development
	@$(bin)/python -m tests.items

bench: $(VENV)/.installed-for-development
	@sh scripts/test-needs redis-server rabbitmq-server
	@exec $(bin)/python -m benchmarks.run $(BENCH_ARGS)

growth: $(VENV)/.installed-for-development
	@sh scripts/test-needs redis-server rabbitmq-server
	-@$(pip) -e '.[plots]'
	@exec $(bin)/python -m benchmarks.growth $(BENCH_ARGS)

up: export CELERY_BROKER_URL = amqp://guest:guest@127.0.0.1:$(UP_RABBITMQ_PORT)//
up: export CHANNEL_LAYER_URL = redis://127.0.0.1:$(UP_REDIS_PORT)/0
up: export UP_PATH = $(abspath $(bin))
up: export UP_PORT = $(PORT)
up: export UP_REDIS_PORT := $(UP_REDIS_PORT)
up: export UP_RABBITMQ_PORT := $(UP_RABBITMQ_PORT)
up: $(VENV)/.installed-for-development
	@sh scripts/test-needs redis-server rabbitmq-server
	@mkdir -p .up/redis .up/rabbitmq
	@$(manage) migrate --noinput --verbosity 0
	@echo "The example site will be on http://127.0.0.1:$(PORT)/ - Ctrl-C ends everything; servers log in .up/."
	@trap : INT; $(bin)/honcho start || [ $$? -eq 130 ]

clean:
	rm -rf .demo .up .tox build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

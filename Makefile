# make demo    the emulated rig with the live view, 30 s; needs no hardware, GPU or root
# make test    every test that is not slow;  make test-all  the slow ones too
# make lint    style, types, import rules
# make test38  what a live run needs, on Python 3.8, the Jetson TX2's

PYTHON ?= python3
# a name on the path may be a shim with nothing behind it, so each candidate is run
PYTHON38 ?= $(firstword $(foreach python,python3.8 $(wildcard $(HOME)/.pyenv/versions/3.8.*/bin/python), \
	$(shell $(python) -c "" 2>/dev/null && echo $(python))))
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-all lint test38 clean

demo: .venv-live/ready
	.venv-live/bin/cosmo-runtime --sensors imu,depth,radar --emulate person --duration 30

test: .venv/ready
	.venv/bin/python -m pytest -m "not slow"

test-all: .venv/ready
	.venv/bin/python $(PIP_INSTALL) -c requirements/constraints.txt -e ".[evaluate]"
	.venv/bin/python -m pytest

lint: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

ifeq ($(PYTHON38),)
test38:
	@echo "Python 3.8 was not found: its profile was not tested. Set PYTHON38 to its path."
else
test38: .venv38/ready
	.venv38/bin/python -m pytest tests/sensors tests/runtime tests/models tests/tools/test_bench.py
endif

.venv-live/ready: pyproject.toml requirements/constraints.txt
	$(PYTHON) -m venv .venv-live
	.venv-live/bin/python $(PIP_INSTALL) -c requirements/constraints.txt -e ".[depth,emulation]"
	touch $@

.venv/ready: pyproject.toml requirements/constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python $(PIP_INSTALL) -c requirements/constraints.txt -e ".[depth,emulation,train,dev]"
	touch $@

.venv38/ready: pyproject.toml requirements/constraints.txt
	$(PYTHON38) -m venv .venv38
	.venv38/bin/python $(PIP_INSTALL) --upgrade pip
	.venv38/bin/python $(PIP_INSTALL) -c requirements/constraints.txt -e ".[depth,emulation,test]"
	# the newest libusb that says it supports 3.8 crashes librealsense on machines without a USB bus
	.venv38/bin/python $(PIP_INSTALL) --ignore-requires-python "libusb-package>=1.0.30"
	touch $@

clean:
	rm -rf .venv .venv-live .venv38 .pytest_cache .mypy_cache .ruff_cache .hypothesis

# make demo    the emulated rig with the live view, 30 s; needs no hardware, GPU or root
# make test    every test that is not slow;  make test-slow  the others
# make test-web  the page in a real browser, Debian's Chromium: apt-get install chromium
# make lint    style, types, import rules
# make test38  what a live run needs, on the Jetson TX2's Python 3.8: with its versions, and with the oldest ones
# make test-tx2  the same with training, before a release: torch 1.11, 750 MB
# make test-arm  on an emulated arm64 with a TX2's wheels, as root; slow, 1.1 GB: see docs/benchmarks/arm64.md

PYTHON ?= python3
# a name on the path may be a shim with nothing behind it, so each candidate is run
PYTHON38 ?= $(firstword $(foreach python,python3.8 $(wildcard $(HOME)/.pyenv/versions/3.8.*/bin/python), \
	$(shell $(python) -c "" 2>/dev/null && echo $(python))))
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check
# four, on two cores as well: these tests wait as long as they compute
PYTEST = -m pytest --numprocesses 4 --dist worksteal
LIVE_TESTS = tests/sensors tests/runtime tests/models tests/tools/test_bench.py
AS_TX2 = --only-binary=:all: --implementation cp --python-version 3.8.0 --abi cp38 --abi abi3 --abi none \
	--platform manylinux_2_27_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64

# of live runs, replays and fine-tuning, those that show most for their time: emulation makes all many times slower
ARM_TESTS = tests/models/test_features.py tests/runtime/engines/test_onnxruntime.py tests/runtime/sources \
	tests/runtime/test_cli_replay.py tests/sensors/depth/test_librealsense.py tests/training/adapt/test_nearest.py

# qemu-user has no 921600 baud, so no emulated radar can be read there
ARM_LEFT_OUT = reader_has_seen_enough or run_of_real_people or what_was_only_recorded

.PHONY: demo test test-slow test-web lint test38 test-tx2 test-arm clean

demo: .venv-live/ready
	.venv-live/bin/cosmo-runtime --sensors imu,depth,radar --emulate person --duration 30

test: .venv/ready
	.venv/bin/python $(PYTEST) -m "not slow"

test-slow: .venv/ready
	.venv/bin/python -m pytest -m slow

test-web: .venv/ready
	.venv/bin/python -m pytest tests/runtime/web

lint: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

ifeq ($(PYTHON38),)
test38 test-tx2:
	@echo "Python 3.8 was not found: its profile was not tested. Set PYTHON38 to its path."
else
test38: .venv38-tx2/ready .venv38-oldest/ready
	.venv38-tx2/bin/python -m pytest -m slow $(LIVE_TESTS)
	.venv38-tx2/bin/python $(PYTEST) -m "not slow" $(LIVE_TESTS)
	.venv38-oldest/bin/python $(PYTEST) -m "not slow" $(LIVE_TESTS)

test-tx2: .venv38-tx2/train .venv38-oldest/train
	# every wheel of the profile is there for the TX2, too
	.venv38-tx2/bin/python $(PIP_INSTALL) --dry-run --target nowhere $(AS_TX2) -c requirements/tx2.txt ".[depth,web,train,energy,mqtt,metrics,export]"
	.venv38-tx2/bin/python -m pytest -m slow
	.venv38-tx2/bin/python $(PYTEST) -m "not slow"
	.venv38-oldest/bin/python -m pytest -m slow
	.venv38-oldest/bin/python $(PYTEST) -m "not slow"
endif

test-arm: .venv/ready
	@PYTHON=.venv/bin/python tools/arm64.sh || { [ $$? = 77 ] && echo "The emulated arm64 was not tested."; exit; }; \
	tools/arm64.sh python3 -m pytest -p no:cacheprovider -m "not slow" --timeout 900 -k "not ($(ARM_LEFT_OUT))" $(ARM_TESTS) && \
	.venv/bin/python tools/measure/arm64.py --count

.venv-live/ready: pyproject.toml requirements/constraints.txt
	$(PYTHON) -m venv .venv-live
	.venv-live/bin/python $(PIP_INSTALL) -c requirements/constraints.txt -e ".[depth,emulation,web]"
	touch $@

.venv/ready: pyproject.toml requirements/constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python $(PIP_INSTALL) -c requirements/constraints.txt -e ".[depth,emulation,train,evaluate,web,dev]"
	touch $@

.venv38-%/ready: pyproject.toml requirements/%.txt
	$(PYTHON38) -m venv .venv38-$*
	.venv38-$*/bin/python $(PIP_INSTALL) --upgrade pip
	.venv38-$*/bin/python $(PIP_INSTALL) -c requirements/$*.txt -e ".[depth,emulation,web,test]"
	# the newest libusb that says it supports 3.8 crashes librealsense on machines without a USB bus
	.venv38-$*/bin/python $(PIP_INSTALL) --ignore-requires-python "libusb-package>=1.0.30" "importlib_resources<6.5"
	touch $@

.venv38-%/train: .venv38-%/ready
	.venv38-$*/bin/python $(PIP_INSTALL) -c requirements/$*.txt -e ".[train,energy]"
	touch $@

clean:
	rm -rf .venv .venv-live .venv38-* .pytest_cache .mypy_cache .ruff_cache .hypothesis

"""``python -m cosmo_runtime.runtime.cli``, for use without the console script."""

from cosmo_runtime.runtime.script import script

script()

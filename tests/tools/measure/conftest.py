"""The small bundle that tests of the runtime use, too."""

from tests.runtime.conftest import spec, tiny_bundle  # noqa: F401

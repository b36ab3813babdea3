"""``python -m runtime.cli``, where the console script is not installed."""

import sys

from runtime.cli import main

sys.exit(main())

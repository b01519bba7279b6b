"""``python -m sciar`` is the ``sciar`` command."""

import sys

from sciar.cli import main

sys.exit(main())

"""``python -m producers.poller``."""

from __future__ import annotations

import sys

from producers.poller.process import main

if __name__ == "__main__":
    sys.exit(main())

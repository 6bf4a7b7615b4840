"""``python -m producers.hl7.listener``."""

from __future__ import annotations

import sys

from producers.hl7.listener.process import main

if __name__ == "__main__":
    sys.exit(main())

"""``python -m streams.worker``."""

from __future__ import annotations

import sys

from streams.worker.worker import main

sys.exit(main())

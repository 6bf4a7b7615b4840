"""``python -m streams.findings``."""

from __future__ import annotations

import sys

from streams.findings.service import main

sys.exit(main())

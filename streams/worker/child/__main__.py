"""``python -m streams.worker.child IN OUT``: started by :func:`streams.worker.child.start`, by nobody else."""

from __future__ import annotations

import sys

from streams.worker.child.process import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Runs a program that dies with the process that started it, even when that one is killed with SIGKILL.

``python -I -S leash.py PARENT_PID PROGRAM ARGUMENT…`` asks the kernel for SIGKILL at the parent's end
(``PR_SET_PDEATHSIG`` of prctl(2), kept across exec) and becomes the program. Linux only: elsewhere it just becomes
the program. A file of its own, with three imports, because it runs before each child.

The signal comes when the *thread* that started the child ends, so children are started from a thread that lives
as long as its process.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
SIGKILL = 9


def command(program: list[str]) -> list[str]:
    """Command line that runs ``program`` on a leash held by the calling process."""
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), str(os.getpid()), *program]  # noqa: PTH100


def main() -> None:
    """Put the leash on and become the program."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the leash was on
            sys.exit(1)
    os.execv(program[0], program)  # noqa: S606 - becoming another program is what this file is for


if __name__ == "__main__":
    main()

"""The operator's terminal: ``scanstream …``.

``app`` lists the commands, ``commands`` has one file for each; a command imports what it needs when it runs, so
``scanstream --help`` is quick. Results go to standard output (pure JSON with ``--json``), everything said to a
person goes to standard error, and a foreseen error is one sentence and a non-zero exit code.
"""


def main() -> None:
    """Run the command that the command line names, and exit with its code."""
    from dashboards.terminal.app import run

    run()

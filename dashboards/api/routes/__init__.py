"""One file per subject; each has a ``router``."""

"""``python -m dashboards.terminal``."""

from dashboards.terminal import main

if __name__ == "__main__":
    main()

"""``python -m ferroute``."""

from ferroute.cli import main

if __name__ == "__main__":
    main()

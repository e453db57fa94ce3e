"""``python -m mssante``."""

from mssante.cli import main

if __name__ == "__main__":
    main()

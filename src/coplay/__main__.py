"""The command line as ``python -m coplay``, where its script is not on the path."""

from coplay.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())

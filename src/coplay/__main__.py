"""The command line as ``python -m coplay``, where its script is not on the path."""

import os
import sys

# Python puts the current folder first, and a rich.py there would be imported in place of rich. With
# -P it does not, and the first place is then one that the user named. Nothing but what Python has
# loaded by itself may be imported before.
try:
    if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:
        del sys.path[0]
except OSError:  # the current folder was deleted
    pass

from coplay.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())

"""What is made for tiny examples goes when their process ends."""

import os
import subprocess
import sys

TINY = """
import os
from coplay import find, names
for name in names("source"):
    find("source", name).tiny()
if os.fork() == 0:
    raise SystemExit  # a forked process does not take away what is its parent's
os.wait()
print(len(os.listdir(os.environ["TMPDIR"])))
"""


def test_tiny_sources_leave_nothing_behind(tmp_path):

    env = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", TINY], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 6
    assert list(tmp_path.iterdir()) == []

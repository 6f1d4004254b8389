"""The command line in a fork of the tests' process, which need not load torch again."""

import contextlib
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback

SECONDS = 120


def command_line(*arguments, cwd):
    """Run ``python -m coplay`` where all that it imports at its start is there already.

    What a folder may put in the place of such a module is for a process of its own to test.
    """
    words = [*map(str, arguments)]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
        process = os.fork()
        if not process:
            _run_and_exit(words, cwd, out.fileno(), error.fileno())
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        out.seek(0)
        error.seek(0)
        return subprocess.CompletedProcess(words, code, out.read().decode(), error.read().decode())


def _run_and_exit(words, cwd, out, error):
    """Run the command line in this process and end it: nothing of the tests' may go on here."""
    code = 1
    try:
        signal.alarm(SECONDS)
        os.dup2(out, 1)
        os.dup2(error, 2)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        os.chdir(cwd)
        sys.path.insert(0, os.getcwd())  # as -m does
        sys.argv = ["coplay", *words]
        runpy.run_module("coplay", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))

"""Snakemake whose Python scripts are forks of this process, which has imported what they need.

`python forked.py all --configfile …` does what `python -m snakemake …` does. The scripts are those
that Snakemake writes, and each has a process of its own; what is saved is importing torch and the
other libraries some sixty times over. The project itself is imported by each script.
"""

from __future__ import annotations

import os
import runpy
import sys
import traceback

import h5py  # noqa: F401
import matplotlib.pyplot  # noqa: F401
import pandas  # noqa: F401
import scipy.stats  # noqa: F401
import torch
import transformers  # noqa: F401
import xarray  # noqa: F401
from snakemake.cli import main
from snakemake.script import PythonScript


def execute_script(script: PythonScript, fname: str, edit: bool = False) -> None:
    """Run a script in a fork, in place of a new interpreter.

    Raises:
        ChildProcessError: it failed; it has said why.
    """
    child = os.fork()
    if not child:
        os._exit(_run(fname))
    _, status = os.waitpid(child, 0)
    if status:
        raise ChildProcessError(f"{fname} ended with {os.waitstatus_to_exitcode(status)}")


def _run(fname: str) -> int:
    """The exit status of a script."""
    sys.argv = [fname]
    status = 1
    try:
        runpy.run_path(fname, run_name="__main__")
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return status


if __name__ == "__main__":
    torch.set_num_threads(1)  # no thread that a fork would lack
    PythonScript.execute_script = execute_script
    main()

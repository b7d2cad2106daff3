"""What every script does around its one function: logging, and errors in plain words.

The log file is opened before a script's own imports run, so that a failing import reaches it.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from lengthlens.errors import LengthlensError

QUIET = {"TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}


def run_job(main: Callable, snakemake) -> None:
    """Run `main(snakemake)`; an error ends the job with its message on screen and in the log.

    A `LengthlensError` is the user's to mend and is told in its own words; anything else is ours,
    and comes with its traceback.
    """
    os.environ.update({key: value for key, value in QUIET.items() if key not in os.environ})
    log = Path(str(snakemake.log[0]))
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as stream:
        print(f"{snakemake.rule}: started", file=stream, flush=True)
        try:
            main(snakemake)
        except LengthlensError as error:
            print(f"{snakemake.rule}: {error}", file=stream)
            print(f"\n{snakemake.rule}: {error}\n", file=sys.stderr)
            raise SystemExit(1) from None
        except BaseException:
            traceback.print_exc(file=stream)
            raise
        print(f"{snakemake.rule}: done", file=stream)

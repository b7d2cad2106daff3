"""As many GPUs for each job as it asks for, on a machine that has several.

Snakemake counts GPUs (`resources: gpu=1`), but does not say which one a job gets. A job therefore
takes a lock on as many of those that it may see and hides the others. The lock ends with the
process, however it ends. Under Slurm the job sees its own GPUs only, and nothing is done.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import FileLock

_held: list[FileLock] = []  # for as long as the process lives


def machine_gpus(devices: Path = Path("/dev")) -> list[str]:
    """Numbers of the NVIDIA GPUs of this machine, without asking their driver."""
    found = (re.fullmatch(r"nvidia(\d+)", path.name) for path in devices.glob("nvidia*"))
    return sorted((match[1] for match in found if match), key=int)


def visible_gpus() -> list[str]:
    """Those that CUDA_VISIBLE_DEVICES leaves, or all."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return machine_gpus()
    return [name.strip() for name in named.split(",") if name.strip()]


def gpu_problem(device: str) -> str | None:
    """What is wrong with the configured device on this machine; None if nothing is."""
    if not device.startswith(("cuda", "split")):
        return None
    import torch  # NOTE takes seconds; but a torch without CUDA uses no GPU, whatever is in /dev

    if torch.cuda.is_available():
        return None
    return (
        f"generation.device is {device}, but torch finds no GPU on this machine; run the study "
        "on one that has, or set generation.device to auto (a CPU takes very long with models "
        "of billions of weights)"
    )


def claim_gpu(locks: Path | None = None, wait: float = 5.0, count: int = 1) -> str | None:
    """Take GPUs for this process, before torch is imported; wait where too few are free.

    Args:
        locks: folder of the lock files; by default the system's for temporary files.
        wait: seconds between attempts.
        count: how many; at most all of them.

    Returns:
        The GPUs as CUDA_VISIBLE_DEVICES names them, or None where there is nothing to choose:
        fewer than two, or Slurm chose.
    """
    choice = visible_gpus()
    if len(choice) < 2 or "SLURM_JOB_ID" in os.environ:
        return None
    from filelock import FileLock, Timeout

    folder = Path(tempfile.gettempdir()) if locks is None else locks
    named = {gpu: FileLock(folder / f"lengthlens-{os.getuid()}-gpu-{gpu}.lock") for gpu in choice}
    count, told = min(count, len(choice)), False
    while True:
        taken: dict[str, FileLock] = {}
        for gpu, lock in named.items():
            with contextlib.suppress(Timeout):
                lock.acquire(blocking=False)
                taken[gpu] = lock
            if len(taken) == count:
                _held.extend(taken.values())
                os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(taken)
                return ",".join(taken)
        for lock in taken.values():  # else two jobs might wait for each other's for ever
            lock.release()
        if not told:
            print(f"All GPUs ({', '.join(choice)}) are in use; waiting.", file=sys.stderr)
            told = True
        time.sleep(wait)

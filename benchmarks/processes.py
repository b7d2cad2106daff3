"""What the benchmarks share around a measurement: a process for each, and the machine's name."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
VARIANTS = ("instruct", "base")  # answers that stop early; answers at the cap
PACKAGES = ("torch", "transformers", "transformer-lens", "nnsight", "h5py")
# Of the methods that are other tools; those of lengthlens and of transformers need none.
TOOLS = {"nnsight": "nnsight", "lens-batched": "transformer_lens", "lens": "transformer_lens"}
METHODS = ("generate", "loop", "ours", "dump", *TOOLS)


def measured(script: str, cell: dict, environment: Mapping[str, str] | None = None) -> dict:
    """What `script --measure cell` finds, in a process with further environment variables.

    It may be of another commit's work tree: its files are found from its own place.
    """
    command = [sys.executable, script, "--measure", json.dumps(cell)]
    variables = os.environ | (environment or {})
    done = subprocess.run(command, capture_output=True, text=True, env=variables)
    if done.returncode:
        raise SystemExit(f"{cell['method']} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def installed(names: list[str]) -> list[str]:
    """Those of the methods whose packages are there."""
    kept = []
    for name in names:
        if name in TOOLS and importlib.util.find_spec(TOOLS[name]) is None:
            print(f"{name}: left out, {TOOLS[name]} is not installed here")
        else:
            kept.append(name)
    return kept


def machine() -> dict:
    """What the numbers hold for."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    there = [name for name in PACKAGES if importlib.util.find_spec(name.replace("-", "_"))]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in there},
    }

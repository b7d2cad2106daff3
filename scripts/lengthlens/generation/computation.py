"""What computes the numbers of a shard, as far as it can change their last digits or more.

The same configuration gives other numbers on another kind of device, in another precision or with
other versions of the packages that do the arithmetic. Shards that differ in one of these must not
be joined into one file (`identity.check_computation`), nor may a kept one stand in for another.
"""

from __future__ import annotations

from collections.abc import Mapping

from lengthlens.files.provenance import versions
from lengthlens.models.loading import resolve_device

# They tokenize, compute and sum; the others only read and write files.
ARITHMETIC = ("torch", "transformers", "tokenizers", "numpy")
OWN_PRECISION = "the checkpoint's own"


def computation(section: Mapping, manifest: Mapping) -> dict[str, str]:
    """What is going to compute a model's answers in this process, known before it is loaded.

    Args:
        section: the configuration's `generation`, of which `device` and `dtype` may be `auto`.
        manifest: of the model's files; its `shape` may tell the checkpoint's own precision.

    Returns:
        `device` (cpu or cuda), `dtype` (such as float32), and the version of each package.

    Raises:
        LengthlensError: the device is not there.
    """
    device = resolve_device(section["device"]).type
    dtype = section["dtype"]
    if dtype == "auto" and device == "cpu":
        dtype = "float32"
    elif dtype == "auto":
        dtype = (manifest.get("shape") or {}).get("dtype") or OWN_PRECISION
    found = versions()
    return {
        "device": device,
        "dtype": dtype,
        **{name: found[name] for name in ARITHMETIC if name in found},
    }

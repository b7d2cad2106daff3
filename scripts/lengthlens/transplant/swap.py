"""Weights of one model in the place of another's, for as long as a block lasts.

W = W_into + scale · (W_from − W_into). No third copy of a model is held: at scale 1 a whole
parameter lends its tensor, and pieces or blends overwrite the weights in place. What they overwrite
is kept, beyond `IN_MEMORY` in a file that is mapped into memory. Afterwards every bit is back.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from lengthlens.transplant.parts import Piece

IN_MEMORY = 2**30  # bytes of overwritten weights that are kept in memory


@contextlib.contextmanager
@torch.no_grad()
def transplanted(
    into: nn.Module, donor: nn.Module, pieces: Sequence[Piece], scale: float = 1.0
) -> Iterator[None]:
    """Let `into` have pieces of the donor's weights within the block.

    Args:
        into: the model that is changed and put back, also after an error.
        donor: a model with the same parameters; nothing of it changes.
        pieces: which of them.
        scale: 1 for the donor's own; 0 leaves everything as it is.
    """
    mine, theirs = (dict(model.named_parameters()) for model in (into, donor))
    lent: list[tuple[Tensor, Tensor]] = []
    kept: list[tuple[Tensor, Tensor]] = []
    room = IN_MEMORY
    with tempfile.TemporaryDirectory() as folder:
        try:
            for number, piece in enumerate(pieces if scale != 0 else ()):
                own, new = mine[piece.name], theirs[piece.name]
                alike = own.device == new.device and own.dtype == new.dtype
                if scale == 1 and piece.dim is None and alike:
                    lent.append((own, own.data))
                    own.data = new.data
                    continue
                view = piece.of(own.data)
                size = view.numel() * view.element_size()
                room -= size
                file = Path(folder) / str(number) if room < 0 else None
                kept.append((view, _copy(view, file)))
                view.copy_(_blended(view, piece.of(new.data), scale))
            yield
        finally:
            for view, before in reversed(kept):
                view.copy_(before)
            for parameter, before in lent:
                parameter.data = before
            kept.clear()  # before the folder goes


def _blended(own: Tensor, new: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return new
    exact = torch.promote_types(own.dtype, torch.float32)
    start = own.to(exact)
    return (start + scale * (new.to(own.device, exact) - start)).to(own.dtype)


def _copy(view: Tensor, file: Path | None) -> Tensor:
    """A copy on the device, or in a file that is mapped into memory."""
    if file is None:
        return view.clone()
    file.touch()
    mapped = torch.from_file(str(file), shared=True, size=view.numel(), dtype=view.dtype)
    return mapped.view(view.shape).copy_(view)


def weights_hash(model: nn.Module) -> str:
    """A hash of every parameter, to tell that all are what they were."""
    found = hashlib.sha256()
    for name, weight in model.named_parameters():
        found.update(name.encode())
        found.update(weight.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()

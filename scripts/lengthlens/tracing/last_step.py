"""The last position of one text: what it attends to, and what the model does without.

A knockout changes what the last position attends to and nothing before it, so the text is read once
and only its last token again, with as many rows as there are knockouts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lengthlens.decoding.forward import LogitReader, feed, prefill
from lengthlens.decoding.scores import Knockouts, ScoreListener
from lengthlens.errors import LengthlensError
from lengthlens.generation.loaded import LoadedModel
from lengthlens.patching.runs import best_pair, rows_at_once


class LastStep:
    """The step after a text of at least two tokens, and its attention.

    Attributes:
        pair: the best ender and the best word-beginning token there.
        weights: attention of every head to every position; NaN in layers that give none.
        missing: those layers.
    """

    @torch.inference_mode()
    def __init__(self, loaded: LoadedModel, tokens: Sequence[int], memory_gb: float) -> None:
        self._loaded, self._positions = loaded, len(tokens)
        self._rows = rows_at_once(loaded, len(tokens), memory_gb)
        self._before = prefill(loaded.model, [list(tokens)], 1)
        logits, listener = self._pass(1, None)
        if not bool(torch.isfinite(logits).all()):
            raise LengthlensError(
                f"{loaded.spec.name}: the logits are not finite after "
                f"{loaded.decode_text(tokens)[-60:]!r}; its weights are not sound"
            )
        self._clean, self.missing = logits[0], listener.missing()
        self.pair = best_pair(self._clean, loaded.classes)
        a = loaded.anatomy
        self.weights = np.full((a.n_layers, a.n_heads, len(tokens)), np.nan)
        for layer, weights in enumerate(listener.weights):
            if weights is not None:
                self.weights[layer] = weights[0].double().cpu().numpy()

    def margin(self, pair: tuple[int, int]) -> float:
        """The margin of a pair of tokens. [logits]"""
        return float(self._clean[pair[0]].double() - self._clean[pair[1]].double())

    @torch.inference_mode()
    def without(self, knockouts: Knockouts, pair: tuple[int, int]) -> Float[np.ndarray, " row"]:
        """The margins of a pair of tokens with each knockout. [logits]

        NaN where nothing is left to attend to, and where a layer of the knockout gives no weights.
        """
        found = np.empty(len(knockouts))
        for start in range(0, len(knockouts), self._rows):
            part = knockouts[start : start + self._rows]
            logits, _ = self._pass(len(part), part)
            margins = logits[:, pair[0]].double() - logits[:, pair[1]].double()
            found[start : start + len(part)] = margins.cpu().numpy()
        found[knockouts.heads[:, self.missing].any(-1).any(-1).cpu().numpy()] = np.nan
        return found

    def _pass(
        self, rows: int, knockouts: Knockouts | None
    ) -> tuple[Float[Tensor, "row vocabulary"], ScoreListener]:
        """Logits at the last position, of so many rows."""
        loaded = self._loaded
        listener = ScoreListener(loaded.anatomy, self._positions, knockouts)
        with (
            LogitReader(loaded.anatomy, loaded.device).attached() as reader,
            listener.attached(loaded.model),
        ):
            feed(loaded.model, self._before.copies(rows))
        return reader.last(), listener

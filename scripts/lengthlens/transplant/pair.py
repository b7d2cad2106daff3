"""Both models of a pair in memory, read and stopped alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn

from lengthlens.configuration.pairs import TUNINGS
from lengthlens.generation.loaded import LoadedModel, classes_of
from lengthlens.generation.opening import open_model
from lengthlens.models.vocabulary import classify_vocabulary
from lengthlens.transplant.parts import Parts, check_alike


@dataclass(frozen=True)
class Pair:
    """Two models that take the same prompts and end answers with the same tokens.

    Attributes:
        untuned, tuned: the models; prompts and tokens of both are the tuned model's.
        prompting: how both are prompted, `chat` or `plain`.
    """

    untuned: LoadedModel
    tuned: LoadedModel
    prompting: str

    @property
    def parts(self) -> Parts:
        """The parts of their weights."""
        return Parts(self.untuned.model, self.untuned.anatomy)

    def into(self, tuning: str) -> tuple[LoadedModel, nn.Module]:
        """The model that is changed, `untuned` or `tuned`, and the one that gives."""
        own, other = (self.untuned, self.tuned)[:: 1 if tuning == "untuned" else -1]
        return own, other.model


def open_pair(names: Mapping[str, str], models: Mapping[str, Mapping], config: Mapping) -> Pair:
    """Load both models of a pair in float32, as the `generation` section says.

    Raises:
        LengthlensError: a model cannot be loaded, or their weights have other shapes.
    """
    opened = (open_model(names[one], models[one], config, exact=True) for one in TUNINGS)
    return alike(*opened)


def alike(untuned: LoadedModel, tuned: LoadedModel) -> Pair:
    """Prompt and read both models as the tuned one; their stop set is the union of both.

    Raises:
        LengthlensError: their weights have other shapes.
    """
    check_alike(untuned.model, tuned.model)
    vocabulary, classes = tuned.vocabulary, tuned.classes
    stops = sorted({*untuned.classes.stop.tolist(), *tuned.classes.stop.tolist()})
    if stops != sorted(tuned.classes.stop.tolist()):
        vocabulary = classify_vocabulary(tuned.tokenizer, stops, len(tuned.vocabulary))
        classes = classes_of(vocabulary, tuned.device)
    read = replace(tuned, vocabulary=vocabulary, classes=classes)
    spec = tuned.spec.model_copy(update={"name": untuned.spec.name})
    return Pair(
        replace(read, spec=spec, model=untuned.model, anatomy=untuned.anatomy),
        read,
        "chat" if tuned.spec.variant == "instruct" else "plain",
    )

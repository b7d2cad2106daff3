"""One generation shard: its model, its prompts, its answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tqdm import tqdm

from lengthlens.checkpoints import ModelSpec
from lengthlens.generation import GenerationSettings, answer_prompts
from lengthlens.loaded import LoadedModel, load
from lengthlens.prompts import build_prompts, load_language
from lengthlens.records import Batch

_SETTINGS = tuple(GenerationSettings.__dataclass_fields__)


def open_model(name: str, model: Mapping, config: Mapping) -> LoadedModel:
    """Load a model as the `generation` section of the configuration says."""
    section = config["generation"]
    return load(
        ModelSpec.from_config(name, model),
        dtype=section["dtype"],
        device=section["device"],
        threads=section["threads"],
    )


def settings_of(config: Mapping) -> GenerationSettings:
    """How answers are generated, from the configuration's `generation` section."""
    return GenerationSettings(**{key: config["generation"][key] for key in _SETTINGS})


def answer_shard(
    loaded: LoadedModel, language_file: str | Path, shard: Mapping, config: Mapping
) -> Iterator[tuple[list[dict], Batch]]:
    """Answer the prompts of a shard, with a progress bar over its answers.

    Args:
        loaded: the model.
        language_file: topics and templates.
        shard: `n`, `start` and `stop`.
        config: the sections `generation` and `prompts`, and `counting`.
    """
    language = load_language(language_file)
    prompts = build_prompts(
        language, shard["n"], shard["start"], shard["stop"], config["prompts"]["seed"]
    )
    settings = settings_of(config)
    label = f"{loaded.spec.name} {language.code} N={shard['n']}"
    total = len(prompts) * settings.samples
    with tqdm(total=total, desc=label, unit="answer", delay=2, mininterval=1) as bar:
        done = 0

        def show(step: int, remaining: int) -> None:
            bar.set_postfix(token=step + 1, running=remaining, refresh=False)
            bar.update(0)

        for answers, batch in answer_prompts(loaded, prompts, settings, config["counting"], show):
            done += len(answers)
            bar.update(done - bar.n)
            yield answers, batch

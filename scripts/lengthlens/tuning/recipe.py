"""Everything that a tuned adapter depends on: one entry of config/adapter.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from lengthlens.errors import LengthlensError

Count = Annotated[int, Field(strict=True, ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Recipe(BaseModel):
    """One entry of config/adapter.yaml, where every key is explained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str
    base_name: str | None = None
    sentences: str
    wordings: str
    held_out: tuple[str, ...] = ()
    seed: Annotated[int, Field(strict=True, ge=0)]
    threads: Count
    precision: Literal["float32", "bfloat16"]
    lora: dict[str, Any]
    n_words: dict[Count, Annotated[float, Field(gt=0)]]
    steps: Count
    batch: Count
    learning_rate: Annotated[float, Field(gt=0)]
    warmup: Count
    decay: Share
    end_weight: Annotated[float, Field(ge=0)]
    save_every: Count
    evaluate_every: Count
    develop_per_n: Count
    develop_n_words: tuple[Count, ...]
    series: tuple[Count, ...] = ()

    @model_validator(mode="after")
    def _reached(self) -> Recipe:
        late = [step for step in self.series if step >= self.steps]
        if late:
            raise ValueError(f"series holds {late[0]}, but the last of {self.steps} steps is apart")
        return self

    @field_validator("lora")
    @classmethod
    def _without_dropout(cls, lora: dict[str, Any]) -> dict[str, Any]:
        if lora.get("lora_dropout"):
            raise ValueError("lora_dropout would be ignored: tuning is deterministic; leave it out")
        return lora

    @classmethod
    def read(cls, name: str, values: dict[str, Any]) -> Recipe:
        """The recipe `name` of config/adapter.yaml.

        Raises:
            LengthlensError: naming every key that is wrong.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            told = "; ".join(
                f"{'.'.join(map(str, problem['loc'])) or 'recipe'}: {problem['msg']}"
                for problem in error.errors()
            )
            raise LengthlensError(f"config/adapter.yaml, {name}: {told}") from None

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0: warm-up, constant, linear decay to 0."""
        left = (self.steps - step) / max(1.0, self.steps * self.decay)
        return self.learning_rate * min(1.0, (step + 1) / self.warmup, left)


def check_base(recipe: Recipe, root: Path) -> Path:
    """The folder of the base model.

    Raises:
        LengthlensError: there is no model in it.
    """
    folder = root / recipe.base
    if not (folder / "config.json").is_file():
        raise LengthlensError(
            f"there is no model to tune: {folder} holds no config.json; set `base` in "
            "config/adapter.yaml to the folder of a chat model"
        )
    return folder

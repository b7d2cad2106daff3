"""Every key of resources/claims.yaml: claims, each with a statistic of some kind, and tests.

What the keys mean is told at the top of that file. `claims.measures` measures each kind.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field

from lengthlens.settings.fields import (
    NAME,
    Filled,
    Says,
    Section,
    number,
    refused,
    several,
    text,
    whole,
)
from lengthlens.settings.sections import Score

Status = Annotated[
    Literal["exploratory", "confirmatory"],
    Says("exploratory, or confirmatory (written before the models it names were run)"),
]
Id = text(r"^[a-z0-9][a-z0-9-]*$", "small letters, digits and hyphens")
Sentence = Annotated[Filled, Says("a sentence")]
Models = several(
    text(NAME, "letters, digits and hyphens"), 1, "a list of names of models, no duplicates"
)
Tuning = Literal["untuned", "tuned"]
Code = text(NAME, 'a language code (in quotes where YAML reads something else: "no")')
AtLeastOne = whole(1, legal="a whole number ≥ 1")
Numbers = several(AtLeastOne, 1, "a list of whole numbers ≥ 1, no duplicates")
Number = number("a number")
AboveZero = number("a number > 0", gt=0)
Fraction = number(ge=0, le=1)
Layers = Annotated[
    Literal["final"] | tuple[Fraction, Fraction],
    Says("final, or [from, to] as fractions of depth from 0 to 1"),
]
Component = Literal["head", "mlp"]
TransplantPart = Literal["all", "attention", "mlp", "embedding", "unembedding", "norms"]
BehaviourMeasure = Literal["error", "absolute_error", "exact"]
Probe = Annotated[
    Literal["study", "free", "aligned", "extrapolation"],
    Says("study (the study's own answers), free, aligned or extrapolation"),
]
AnyScore = Literal[
    "cwa",
    "cwa_logit",
    "cwa_end",
    "dla",
    "end_contrast",
    "nswap",
    "norm",
    "layer_mean",
    "depth",
    "effect",
]


NotEmpty = refused(lambda value: value == {}, "it has no key", BeforeValidator)


class Statistic(Section):
    """What is measured: `kind`, of which model and language, and the keys of the kind."""

    tuning: Tuning
    language: Code


class OtherAnswers(Section):
    probe: Probe = None
    tuning: Tuning = None
    language: Code = None
    n: Numbers = None


MinusAnswers = Annotated[
    OtherAnswers, NotEmpty, Says("a mapping with one or more of tuning, language, n, probe")
]


class Behaviour(Statistic):
    kind: Literal["behaviour"]
    measure: BehaviourMeasure
    probe: Probe = None
    n: Numbers = None
    minus: MinusAnswers = None


class Cwa(Statistic):
    kind: Literal["cwa"]
    component: Component
    layers: Layers
    form: Literal["sum", "step"]
    target: Literal["token", "logit", "end"] = None
    beyond: Literal["signs"] = None
    text: Tuning = None
    n: Numbers = None
    minus: MinusAnswers = None


class TokensPerWord(Statistic):
    kind: Literal["tokens_per_word"]
    measure: BehaviourMeasure


class OtherScore(Section):
    score: AnyScore


class Agreement(Statistic):
    kind: Literal["agreement"]
    score: AnyScore
    component: Literal["head", "mlp", "all"]
    over: Literal["all", "within"]
    outcome: Literal["decision", "contrast"]
    minus: Annotated[OtherScore, Says("a mapping with the key score")] = None


class OtherTuning(Section):
    tuning: Literal["untuned"]


class BehaviourShare(Statistic):
    kind: Literal["behaviour_share"]
    tuning: Literal["tuned"]
    component: Component
    layers: Layers
    minus: Annotated[OtherTuning, Says("{tuning: untuned}")]


class AblationEffect(Statistic):
    kind: Literal["ablation"]
    method: Score
    k: AtLeastOne
    measure: Literal["exact", "end_margin"]
    source_language: Code = None


class OtherLanguage(Section):
    language: Code


class RepairTerm(Statistic):
    kind: Literal["repair"]
    term: Literal["direct", "heads", "mlps", "final_mlp", "scale"]
    method: Annotated[
        Literal[Score, "late_heads", "early_heads", "final_mlp"],
        Says(
            "cwa, end_contrast, nswap, effect or norm with a size k, or late_heads, early_heads "
            "or final_mlp"
        ),
    ]
    k: AtLeastOne = None
    minus: Annotated[OtherLanguage, Says("a mapping with the key language")] = None


class OtherPart(Section):
    what: TransplantPart = None
    layers: Layers = None
    language: Code = None


class TransplantShare(Statistic):
    kind: Literal["transplant"]
    tuning: Annotated[Tuning, Says("untuned or tuned: the model that the other's weights go into")]
    what: TransplantPart
    measure: Literal["exact", "end_margin", "n_effect"]
    layers: Layers = None
    minus: Annotated[
        OtherPart, NotEmpty, Says("a mapping with one or more of what, layers, language")
    ] = None


ClaimedTable = Literal["tracing", "knockout", "paths", "compensation", "count_probes", "steering"]
CLAIMED_TABLES: tuple[str, ...] = get_args(ClaimedTable)


class Tabled(Statistic):
    kind: Literal["table"]
    table: ClaimedTable
    value: Literal["share", "effect", "beyond", "slope"]
    where: Annotated[dict[str, str | int | float], Says("column: value, which a row must have")] = (
        None
    )
    depth: Annotated[Fraction, Says("a number from 0 to 1")] = None


AnyStatistic = Annotated[
    Behaviour
    | Cwa
    | TokensPerWord
    | Agreement
    | BehaviourShare
    | AblationEffect
    | RepairTerm
    | TransplantShare
    | Tabled,
    Field(discriminator="kind"),
    Says("a mapping with the key kind and the keys of that kind"),
]


class ShareOfMlp(Section):
    share: AboveZero
    of: Literal["mlp"]


class Paper(Section):
    value: Number = None
    says: Annotated[Filled, Says("a text")] = None


class Claim(Section):
    id: Id
    claim: Sentence
    origin: Literal["paper", "ours"]
    statistic: AnyStatistic
    direction: Literal["above", "below", "near"]
    null_value: Number
    status: Status = None
    models: Models = None
    margin: Annotated[
        AboveZero | ShareOfMlp,
        Says("a number > 0, or for a cwa statistic {share: a number > 0, of: mlp}"),
    ] = None
    paper: Annotated[Paper, NotEmpty, Says("a mapping with value, says or both")] = None


class Test(Section):
    id: Id
    claim: Sentence
    status: Status
    tuning: Tuning
    language: Code
    models: Models = None


class PermutationTest(Test):
    test: Literal["permutation"]
    method: Literal["cwa", "cwa_logit", "cwa_end", "dla", "end_contrast", "nswap", "norm", "effect"]
    effect: Literal["zero_effect"]


class SetTest(Test):
    test: Literal["set"]
    method: Score
    effect: Literal["exact", "early", "late", "truncated", "error", "absolute_error", "end_margin"]
    k: AtLeastOne
    direction: Literal["less", "greater"]


AnyTest = Annotated[
    PermutationTest | SetTest,
    Field(discriminator="test"),
    Says(
        "a mapping with the keys id, claim, test, status, tuning, language, method, effect and, "
        "where it applies, models, k and direction"
    ),
]


class Tests(Section):
    """The part of the file that ablation reads."""

    tests: Annotated[tuple[AnyTest, ...], Says("a list of tests")] = ()


class Claims(Tests):
    """The whole file."""

    claims: Annotated[
        tuple[
            Annotated[
                Claim,
                Says(
                    "a mapping with the keys id, claim, origin, statistic, direction, null_value "
                    "and, where it applies, status, models, margin and paper"
                ),
            ],
            ...,
        ],
        Field(min_length=1),
        Says("a list of at least one claim"),
    ]

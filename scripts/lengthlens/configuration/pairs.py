"""Which models are compared with each other: the key `pairs`.

A pair is an untuned and a tuned model of one shape and with the same token ids. Comparisons address
the two as `untuned` and `tuned`; how either is prompted (its `variant`) is another matter, and both
may be prompted alike. Models are never paired by their place in the configuration: that would
compare a Llama with a Qwen where one of four is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lengthlens.files.validation import Problem, show, suggest
from lengthlens.weights.checks import same_file, shape_of, token_ids

TUNINGS = ("untuned", "tuned")
_ALONE = {"base": "untuned", "instruct": "tuned"}


def named_pairs(
    variants: Mapping[str, str], pairs: Sequence[Mapping[str, str]]
) -> list[dict[str, str]]:
    """The pairs of a study, each as untuned and tuned -> model.

    Args:
        variants: model -> variant.
        pairs: the key of the configuration; where it is empty, one base model and one instruct
            model, if there is one of each and no more, are a pair.
    """
    if not pairs and sorted(variants.values()) == ["base", "instruct"]:
        return [{_ALONE[variant]: model for model, variant in variants.items()}]
    return [{tuning: pair[tuning] for tuning in TUNINGS} for pair in pairs]


def model_pairs(
    variants: Mapping[str, str], pairs: Sequence[Mapping[str, str]]
) -> list[dict[str, str]]:
    """The models that are compared with each other, and those that are alone.

    Returns:
        Of each pair untuned and tuned -> model; of a model without a partner only one of them: an
        instruct model counts as tuned. In the order of the configuration's models.
    """
    named = named_pairs(variants, pairs)
    found: list[dict[str, str]] = []
    for model, variant in variants.items():
        alone = {_ALONE[variant]: model}
        row = next((pair for pair in named if model in pair.values()), alone)
        if row not in found:
            found.append(row)
    return found


def check_pairs(
    pairs: Sequence[Mapping[str, str]], variants: Mapping[str, str]
) -> Iterator[Problem]:
    """Every pair is of two models of the study that are in no other pair; none is guessed."""
    first: dict[str, int] = {}
    for place, pair in enumerate(pairs):
        for tuning in TUNINGS:
            name, path = pair[tuning], ("pairs", place, tuning)
            if name not in variants:
                yield Problem(
                    path,
                    f"{show(name)} is no model of this study; legal: one of "
                    f"{', '.join(variants)}{suggest(name, variants)}",
                )
            elif tuning == "tuned" and name == pair["untuned"]:
                yield Problem(path, f"{show(name)} is the untuned model, too; legal: another model")
            elif first.setdefault(name, place) != place:
                yield Problem(
                    path,
                    f"{show(name)} is in pairs[{first[name]}] already; legal: each model in one "
                    "pair (give the model a second name and another run to compare it again)",
                )
    base, instruct = ([m for m, v in variants.items() if v == kind] for kind in _ALONE)
    if not pairs and base and instruct and len(variants) > 2:
        yield Problem(
            ("pairs",),
            f"there are {len(base)} base models ({', '.join(base)}) and {len(instruct)} instruct "
            f"models ({', '.join(instruct)}), and which belong together is not guessed; write the "
            f"pairs that are to be compared, such as "
            f"pairs: [{{untuned: {base[0]}, tuned: {instruct[0]}}}]",
        )


def check_shapes(
    pairs: Sequence[Mapping[str, str]], variants: Mapping[str, str], folders: Mapping[str, Path]
) -> Iterator[Problem]:
    """Both models of a pair have one shape, and the same ids for the same tokens.

    Args:
        pairs: the key of the configuration, checked.
        variants: model -> variant.
        folders: of the models whose files are on this machine; others are checked when both of
            them are loaded.
    """
    for place, pair in enumerate(named_pairs(variants, pairs)):
        if not set(pair.values()) <= set(folders):
            continue
        untuned, tuned = (folders[pair[tuning]] for tuning in TUNINGS)
        if told := why_no_pair(untuned, tuned):
            yield Problem(
                ("pairs", place) if pairs else ("pairs",),
                f"{pair['untuned']} and {pair['tuned']} are no pair: {told}; legal: a model and "
                "what was tuned from it (others have runs of their own)",
            )


def why_no_pair(untuned: Path, tuned: Path) -> str:
    """Why the models of two folders cannot be a pair, from their small files; empty if they can."""
    shapes = [shape_of(folder) for folder in (untuned, tuned)]
    for key in shapes[0].keys() & shapes[1].keys():
        if shapes[0][key] != shapes[1][key]:
            return f"{key} is {show(shapes[0][key])} of one and {show(shapes[1][key])} of the other"
    if same_file(untuned / "tokenizer.json", tuned / "tokenizer.json"):
        return ""
    ids = [token_ids(folder) for folder in (untuned, tuned)]
    for token in ids[0].keys() & ids[1].keys():
        if ids[0][token] != ids[1][token]:
            return (
                f"the token {show(token)} has the id {ids[0][token]} in one and {ids[1][token]} in "
                "the other"
            )
    return ""

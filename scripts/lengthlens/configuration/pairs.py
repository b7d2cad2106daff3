"""Which base model is compared with which instruct model: the key `pairs`.

A pair is an untuned and a tuned model of one shape. Models are never paired by their place in the
configuration: that would compare a Llama with a Qwen where one of four is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lengthlens.files.validation import Problem, show, suggest

VARIANT_OF = {"untuned": "base", "tuned": "instruct"}


def model_pairs(
    variants: Mapping[str, str], pairs: Sequence[Mapping[str, str]]
) -> list[dict[str, str]]:
    """The models that are compared with each other, and those that are alone.

    Args:
        variants: model -> variant, in the order of the configuration.
        pairs: the key of the configuration, checked; where it is empty, one base model and one
            instruct model, if there is one of each and no more, are a pair.

    Returns:
        Of each pair, the model of every variant; a model without a partner is alone. In the order
        of the configuration's models.
    """
    named = [{pair["untuned"], pair["tuned"]} for pair in pairs]
    if not named and sorted(variants.values()) == ["base", "instruct"]:
        named = [set(variants)]
    found: list[dict[str, str]] = []
    for model in variants:
        together = next((pair for pair in named if model in pair), {model})
        row = {variants[name]: name for name in variants if name in together}
        if row not in found:
            found.append(row)
    return found


def check_pairs(
    pairs: Sequence[Mapping[str, str]], variants: Mapping[str, str]
) -> Iterator[Problem]:
    """Every pair is a base and an instruct model of the study, in no other pair; none is guessed.

    Args:
        pairs: the key of the configuration, as its schema wants it.
        variants: model -> variant.
    """
    first: dict[str, int] = {}
    for place, pair in enumerate(pairs):
        for role, variant in VARIANT_OF.items():
            name, path = pair[role], ("pairs", place, role)
            if name not in variants:
                yield Problem(
                    path,
                    f"{show(name)} is no model of this study; legal: one of "
                    f"{', '.join(variants)}{suggest(name, variants)}",
                )
            elif variants[name] != variant:
                yield Problem(
                    path,
                    f"{show(name)} has the variant {variants[name]}; legal: an {role} model of a "
                    f"pair has the variant {variant}",
                )
            elif first.setdefault(name, place) != place:
                yield Problem(
                    path,
                    f"{show(name)} is in pairs[{first[name]}] already; legal: each model in one "
                    "pair (give the model a second name and another run to compare it again)",
                )
    base, instruct = ([m for m, v in variants.items() if v == kind] for kind in VARIANT_OF.values())
    if not pairs and base and instruct and len(variants) > 2:
        yield Problem(
            ("pairs",),
            f"there are {len(base)} base models ({', '.join(base)}) and {len(instruct)} instruct "
            f"models ({', '.join(instruct)}), and which belong together is not guessed; write the "
            f"pairs that are to be compared, such as "
            f"pairs: [{{untuned: {base[0]}, tuned: {instruct[0]}}}]",
        )

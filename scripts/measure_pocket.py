"""Measure the pocket pair: `python scripts/measure_pocket.py [--develop] [--per-n 24] [FOLDER]`.

Without `--develop` on the study's own prompts, which the recipe was never tuned on. Prints a table
of the acceptance numbers and, with `--samples`, some answers.
"""

import argparse
from pathlib import Path

ROOT = Path(__file__).parents[1]
NUMBERS = range(3, 10)


def study_prompts(code: str, per_n: int, seed: int):
    """The study's prompts of a language, as requests."""
    from lengthlens.language.prompts import build_prompts, load_language
    from lengthlens.pocket.evaluate import study_requests

    language = load_language(ROOT / f"resources/languages/{code}.yaml")
    prompts = [p for n in NUMBERS for p in build_prompts(language, n, 0, per_n, seed)]
    return study_requests(language, prompts)


def main() -> None:
    import torch

    from lengthlens.files.marks import markdown_table
    from lengthlens.pocket.checkpoint import load_pair_model
    from lengthlens.pocket.evaluate import answer, develop_requests, measure

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "resources/pocket")
    parser.add_argument("--develop", action="store_true", help="the development prompts instead")
    parser.add_argument("--per-n", type=int, default=24, help="prompts a language and N")
    parser.add_argument("--seed", type=int, default=0, help="of the study's prompts")
    parser.add_argument("--languages", nargs="+", default=["en", "it", "qaa"])
    parser.add_argument("--samples", type=int, default=0, help="answers to print a language")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    columns = {}
    for variant in ("base", "instruct"):
        model, tokenizer = load_pair_model(arguments.folder / variant)
        for code in arguments.languages:
            if arguments.develop:
                requests = develop_requests([code], arguments.per_n, NUMBERS)
            else:
                requests = study_prompts(code, arguments.per_n, arguments.seed)
            answers = answer(model, tokenizer, requests, chat=variant == "instruct")
            columns[f"{variant} {code}"] = measure(answers, tokenizer)
            if arguments.samples:
                for given in answers[:: max(1, len(answers) // arguments.samples)]:
                    print(f"{variant} {code} | {given.request.text} | {given.text}")
    rows = [
        (name, *(f"{column[name]:.3f}" for column in columns.values()))
        for name in next(iter(columns.values()))
    ]
    print(markdown_table(["number", *columns], rows))


if __name__ == "__main__":
    main()

"""The material of a small report, made by hand, hostile texts included."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

import numpy as np
import pandas as pd
from synthetic_attribution import make_attribution
from synthetic_study import make_ablation, make_answers

from lengthlens.analysis.behaviour import summarise_answers
from lengthlens.analysis.effects import summarise_ablation
from lengthlens.attribution.cwa import aggregate_attribution
from lengthlens.figures.style import Cast
from lengthlens.files.formats import REPORT
from lengthlens.language.languages import Language, Template, Topic
from lengthlens.reporting.explorer import draw_explorer
from lengthlens.reporting.material import Figure, Material
from lengthlens.reporting.samples import choose_samples
from lengthlens.statistics import Bootstrap

EVIL = "<script>alert('x')</script>"
TUNINGS = {"b": "untuned", "i": "tuned"}
NAMES = {"en": "English", "it": "Italian"}
CONFIG = {
    "run": "test",
    "models": {
        "b": {"path": "resources/pocket/base", "variant": "base"},
        "i": {"path": "/home/someone/secret/model-7", "variant": "instruct"},
    },
    "languages": ["en", "it"],
    "n_words": [3, 5],
    "counting": "whitespace",
    "statistics": {"level": 0.95, "resamples": 100, "seed": 0},
    "report": {"title": EVIL, "answers": 3},
}
MADE = {
    "schema": REPORT,
    "lengthlens": "0.1.0",
    "commit": "abc123",
    "dirty": True,
    "versions": {"python": "3.11"},
    "model": {"model": "i", "source": "/home/someone/secret/model-7", "sha256": "f00d"},
}


def language(code):
    topics = tuple(Topic(f"topic-{i:02d}", {"name": "t"}, ("word",)) for i in range(12))
    return Language(code, NAMES[code], topics, (Template("plain", "{n} {name}"),), ())


def claim(**changes):
    row = {
        "id": "a",
        "claim": "The tuned model errs little.",
        "origin": "paper",
        "status": "exploratory",
        "theme": "count",
        "model": "i",
        "tuning": "tuned",
        "language": "en",
        "statistic": "mean error in words (tuned, en, N = 3, 5)",
        "unit": "words",
        "sided": "two",
        "n": 24,
        "n_topics": 12,
        "value": -0.25,
        "low": -0.5,
        "high": 0.01,
        "level": 0.9,
        "direction": "near",
        "null": 0.0,
        "margin": 0.5,
        "truncated": 0.0,
        "paper": -0.07,
        "paper_says": "",
        "verdict": "supported",
        "reason": "",
        "source": "generations/i.en.jsonl",
    }
    return row | changes


def make_tokens(answer: Mapping) -> dict:
    """A row of a tokens file: a token a word, and the stop token; every step a boundary."""
    texts = [*re.findall(r"\s*\S+", answer["text"]), ""]
    words = [min(step + 1, len(texts) - 1) for step in range(len(texts))]
    steps = len(texts)
    return {
        "sample_id": answer["sample_id"],
        "token": list(range(steps)),
        "text": texts,
        "sign": [1 if count <= answer["n"] else -1 for count in words],
        "words": words,
        "decision": answer["n"] if answer["n"] < steps else None,
        "margin": [-2.5] + [1.25] * (steps - 1),
        "ender_text": [EVIL] * steps,
        "word_text": [" the"] * steps,
        "to_end": [[["L2M", 2.0], ["L1H0", 0.5]]] * steps,
        "to_go_on": [[["L0H1", -1.0]]] * steps,
    }


def evil_answers() -> pd.DataFrame:
    """Answers of which the last is an attack."""
    table = make_answers(TUNINGS)
    table.loc[table.index[-1], "text"] = f"{EVIL} one two three & four"
    return table


def make_material(answers: pd.DataFrame) -> Material:
    """The material of a small report with everything in it."""
    prompts = {row.prompt_id: f"Write {row.n} words {EVIL}" for row in answers.itertuples()}
    languages = {code: language(code) for code in NAMES}
    sums = {
        (model, code): make_attribution(place, layers=3, heads=2).dataset
        for place, (model, code) in enumerate((m, c) for m in TUNINGS for c in NAMES)
    }
    means = aggregate_attribution(sums, Bootstrap(resamples=100))
    tokens = {row["sample_id"]: make_tokens(row) for row in answers.to_dict("records")}
    ablations = {("i", code): make_ablation(controls=8) for code in NAMES}
    nothing = {"value": np.nan, "low": np.nan, "high": np.nan, "n": 0, "n_topics": 0}
    missing = nothing | {"verdict": "no data", "reason": "the run has no untuned model"}
    heads = {"statistic": "CWA of the heads", "paper": np.nan, "paper_says": "most in English"}
    heads |= {"unit": "logits", "sided": "one"}
    claims = [
        claim(),
        claim(id="b", claim=f"No data {EVIL}.", statistic="", **missing),
        claim(id="c", direction="above", margin=np.nan, verdict="not supported", **heads),
    ]
    return Material(
        title=CONFIG["report"]["title"],
        run="test",
        tunings=TUNINGS,
        languages=NAMES,
        claims=pd.DataFrame(claims),
        tables={
            "behaviour": summarise_answers(answers, languages, Bootstrap(resamples=100)),
            "ablation": summarise_ablation(ablations, Bootstrap(resamples=100)),
        },
        figures={
            "error_by_n": Figure(
                f"They err {EVIL}", "<svg></svg>", f"What {EVIL} is shown.", "n = 5."
            )
        },
        explorer=draw_explorer(means, Cast(TUNINGS, NAMES)),
        samples={
            (model, code): choose_samples(
                answers[(answers["model"] == model) & (answers["language"] == code)],
                prompts,
                "whitespace",
                24,
                tokens if model == "i" else {},
            )
            for model in TUNINGS
            for code in NAMES
        },
        completeness={"b": 1e-5, "i": 2e-5},
        config=CONFIG,
        provenance={"b": MADE | {"model": {}}, "i": MADE},
        made=MADE,
    )


@functools.cache
def evil_material() -> Material:
    """The material of the hostile answers, made once; `replace` what is to be otherwise."""
    return make_material(evil_answers())

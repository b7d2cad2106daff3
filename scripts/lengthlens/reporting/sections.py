"""The sections of the report in their order: the title, text and content of each.

To add a section, add an entry to `SECTIONS`. Its figures are named as in rules/figures.smk, its
tables as in tables/{name}.csv. Whatever a run does not have is left out, and a section with nothing
to show disappears together with its entry in the navigation. A table may have a function
`sentences(table)` that describes the table in words: each sentence with its interval and n.

The first sections tell the story of a run and are open. All others are collapsed; their headline
gives what they found: the questions of `questions` that are declared as `findings`, or one sentence
of each table that `leads`. Such a sentence must make sense by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from lengthlens.reporting import (
    causes,
    control,
    count,
    extent,
    forced_findings,
    mechanism,
    models,
    nswap,
    paths,
    questions,
    story,
    tokenization,
    traces,
    tuning,
)
from lengthlens.reporting.answers import Ask


def no_sentences(table: pd.DataFrame) -> list[str]:
    """Nothing to say: the table is shown without words."""
    return []


@dataclass(frozen=True)
class Table:
    """A table that a section shows.

    Attributes:
        name: of the file, tables/{name}.csv.
        title: what it holds, in words.
        sentences: from the table to what it says.
        leads: whether its first sentence about a tuned model opens the section.
    """

    name: str
    title: str
    sentences: Callable[[pd.DataFrame], list[str]] = no_sentences
    leads: bool = False


@dataclass(frozen=True)
class Section:
    """One section.

    Attributes:
        id: of the section in the page; title: its heading.
        intro: what the question is and how it was answered.
        figures: their names.
        tables: shown folded, below the figures.
        findings: the questions that it answers, asked only where the run has all of its tables.
        optional: whether it is left out where its tables have no rows.
        explains: whether it explains control; then it shows nothing of models that have none.
        label: its name in the navigation, if it is part of the story, which stands open at the top
            of the page; all others are folded below.
        template: what arranges it; sections of the default template have no other content than
            the above, and are left out without it.
    """

    id: str
    title: str
    intro: str = ""
    figures: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    findings: tuple[Ask, ...] = ()
    explains: bool = False
    optional: bool = False
    label: str = ""
    template: str = "section.html.j2"


SECTIONS = (
    Section(
        "summary",
        "What was asked, and what the models did",
        figures=("error_by_n",),
        findings=(questions.keeps_to_n,),
        label="What they did",
        template="summary.html.j2",
    ),
    Section(
        "mechanism",
        "How does the tuned model count?",
        "Two runs read the same text; only the number requested differs. The end margin is the "
        "logit of ending minus that of going on, and the effect of N is how far the next larger "
        "number lowers it. Parts of one run are patched into the other to measure their share of "
        "this effect. L5H3 is head 3 of layer 5, L5M that layer's MLP; a layer is the one that the "
        "stream enters; the final mark is the instruction's last full stop. CWA sums what a "
        "component adds to the logits of the tokens written, with a plus where they keep to N and "
        "a minus where they exceed it; the N-swap contrast is how a component's direct "
        "contribution to the end margin changes with the number; AtP (attribution patching) "
        "estimates patches by gradients.",
        figures=("circuit", "tracing"),
        tables=(
            Table("tracing", "Where N is, by layer and part of the text", traces.say_places),
            Table("carriers", "Components that carry most", mechanism.say_carriers),
            Table("paths", "Paths between components", paths.say_paths),
            Table("compensation", "Does the final MLP compensate?", paths.say_compensation),
        ),
        findings=(
            story.when_to_stop,
            story.words_left,
            story.what_carries_n,
            story.cwa_finds_them,
            story.what_final_mlp_does,
        ),
        explains=True,
        label="How it counts",
    ),
    Section(
        "tuning",
        "Where did tuning put it?",
        "Tuned weights of some layers or components are inserted into the untuned model, and "
        "untuned weights into the tuned model. A part is sufficient if it recovers more than half "
        "of the gain from tuning, necessary if more than half is lost without it. An exchange may "
        "simply break a model, so it is judged only where the likelihood of neutral text stays "
        "within the range of the two models.",
        figures=("transplants",),
        tables=(
            Table("transplants", "Parts of the weights exchanged", tuning.say_transplants),
            Table("weight_change", "Where the weights moved", tuning.say_changes),
        ),
        findings=(tuning.late_layers_suffice, tuning.late_layers_necessary),
        explains=True,
        label="What tuning changed",
    ),
    Section(
        "claims",
        "What holds, and what does not",
        label="What holds",
        template="claims.html.j2",
    ),
    Section(
        "behaviour",
        "Behaviour: errors by model, language and N",
        template="behaviour.html.j2",
    ),
    Section(
        "control",
        "Control: is there anything to explain?",
        "Attributions and ablation effects exist even in a model that ignores N, and then explain "
        "nothing. Each model is therefore tested first: is it exact more often than chance, and "
        "does N move its decision to end? Control is shown only where both intervals lie above 0.",
        tables=(
            Table(
                "control",
                "Exactness beyond chance, and the N effect",
                control.control_sentences,
                leads=True,
            ),
        ),
    ),
    Section(
        "attribution",
        "Attribution: which components push towards N?",
        figures=("cwa_by_layer", "cwa_heatmaps", "cwa_by_n", "worked_cases"),
        explains=True,
        template="attribution.html.j2",
    ),
    Section(
        "same-text",
        "The same text under both models",
        "Untuned and tuned models write different answers, and attribution depends on the text. "
        "Here both models read the same answers, so only the weights differ.",
        figures=("same_text",),
        tables=(
            Table("same_text", "Both models on the same answers", forced_findings.say_same_text),
        ),
        findings=(questions.more_than_text,),
        explains=True,
    ),
    Section(
        "n-swapped",
        "N swapped: does the model follow the number on the same text?",
        "Each answer is read under its own prompt and under that prompt with the study's next "
        "smaller or larger number. Only the number differs.",
        tables=(Table("nswap", "Effect of swapping N on the end margin", nswap.say_nswap),),
        findings=(nswap.follows_n,),
    ),
    Section(
        "causes",
        "Causes: do exact answers fall without the final MLP, or chosen heads?",
        figures=("ablation", "ablation_all"),
        findings=(questions.without_final_mlp,),
        explains=True,
        template="causes.html.j2",
    ),
    Section(
        "scores",
        "Which score finds the components that matter?",
        "Each component is ablated alone, and scores are compared by how well they predict the "
        "effect on held-out topics. The effect is read at the decision step, and as its difference "
        "from earlier boundary steps, which is how the end contrast is defined.",
        figures=("scores",),
        tables=(Table("scores", "How well scores predict effects", forced_findings.say_scores),),
        findings=(questions.scores_find_causes,),
        explains=True,
    ),
    Section(
        "circuits",
        "Circuits: how many components does it take?",
        "Sets of components are patched between runs that differ only in the number. A circuit is "
        "the smallest set that keeps most of the effect of N.",
        figures=("faithfulness",),
        tables=(
            Table("circuits", "Smallest circuits", mechanism.say_circuits, leads=True),
            Table("overlap", "Circuits across languages", mechanism.say_overlap),
            Table("places", "Where components matter"),
            Table("patch_scores", "Scores against patches", mechanism.say_patch_scores),
        ),
        explains=True,
    ),
    Section(
        "attention",
        "Attention: what do the heads look at, and does it hold on other templates?",
        "Attention from the last token to each part of the text is blocked to see what the token "
        "reads there. Other templates put the number early or late, with or without a final mark.",
        tables=(
            Table("circuit_heads", "Heads of the circuit", traces.say_heads, leads=True),
            Table("knockout", "Attention knockout by layer", traces.say_knockouts),
            Table("contrasts", "Templates with and without a final mark", paths.say_contrasts),
            Table("contrast_circuits", "The circuit on new templates", paths.say_new_templates),
        ),
        explains=True,
    ),
    Section(
        "count",
        "Count: probes, steering and neurons",
        "Each answer is read under every N that it has not exceeded, so the text does not reveal "
        "how many words are left. Linear probes decode this number from the residual stream on "
        "held-out topics; steering shifts the stream along words left during generation. "
        "Finally, neurons of the final MLP are patched between runs that differ only in N, and the "
        "end margin is summed layer by layer.",
        figures=("count", "depth"),
        tables=(
            Table("count_probes", "Words left, decoded from the stream", count.say_unprobed),
            Table("steering", "Words left, steered in the stream", count.say_unsteered),
            Table("neurons", "Neurons of the final MLP", count.say_neurons, leads=True),
            Table("depth", "The end margin by depth", count.say_depth),
        ),
        explains=True,
    ),
    Section(
        "series",
        "Series: when does tuning bring control?",
        "Checkpoints of one training run, measured alike. Circuit members are chosen at the last "
        "step, where selection inflates their shares.",
        figures=("series",),
        tables=(Table("series", "Tuning step by step", tuning.say_series, leads=True),),
        optional=True,
    ),
    Section(
        "confirmatory",
        "Confirmatory and exploratory tests",
        "Few tests, corrected for multiplicity. Confirmatory tests were preregistered: fixed "
        "before any model that they name was run. The others are exploratory.",
        tables=(Table("confirmatory", "Tests", causes.confirmatory_sentences),),
        findings=(questions.beyond_random,),
        explains=True,
    ),
    Section(
        "repair",
        "Mediation: does the final MLP contribute less without the late heads?",
        "The change of the end margin after an ablation, decomposed exactly: the ablated "
        "components' own contribution, the change in the others', and the scale of the final norm. "
        "A component that contributes less has lost input from the ablated ones (mediation); one "
        "that contributes more shows self-repair. Only their sum is measured: whether a component "
        "would repair the loss if its input were unchanged is not tested.",
        figures=("repair",),
        tables=(Table("repair", "Parts of the drop of the end margin", causes.repair_sentences),),
        findings=(questions.passes_on,),
        explains=True,
    ),
    Section(
        "transfer",
        "Transfer: do the same heads matter in another language?",
        "Heads chosen in one language are ablated while the model answers in another.",
        figures=("transfer",),
        tables=(
            Table("transfer", "Effects across languages", causes.transfer_sentences),
            Table("profiles", "Do the languages rank heads alike?"),
        ),
        findings=(questions.carries_over,),
        explains=True,
    ),
    Section(
        "tokenization",
        "Tokenization: does the model count words or tokens?",
        "Multi-token words, other counting conventions, and a language in which every word is one "
        "token. Shares are over both halves of the topics.",
        figures=("tokenization",),
        tables=(
            Table(
                "tokens_per_word",
                "Errors by tokens per word",
                tokenization.tokens_per_word_sentences,
            ),
            Table(
                "tokenization",
                "Words of one token against several",
                tokenization.tokenization_sentences,
            ),
            Table("counting", "Counting conventions", tokenization.counting_sentences),
        ),
        findings=(questions.words_or_tokens,),
    ),
    Section(
        "numbers",
        "Numbers: is any N harder, and how far does control extend?",
        "The same prompts with N outside the study; and each N of the study against its "
        "neighbours, by measures that do not depend on answer length. Shares are over both halves "
        "of the topics.",
        figures=("extrapolation",),
        tables=(
            Table("extrapolation", "Control beyond the study's N", extent.extrapolation_sentences),
            Table("dip", "Is any N worse than its neighbours?", extent.dip_sentences),
        ),
        findings=(
            questions.extends,
            questions.harder_n,
        ),
    ),
    Section(
        "models",
        "The models and their settings",
        "How each model was prompted, what ended its answers, which of its settings were not used, "
        "and where its answers begin.",
        tables=(Table("models", "Models and their settings", models.model_sentences, leads=True),),
    ),
    Section("answers", "Sample answers", template="answers.html.j2"),
    Section("limits", "Limits", template="limits.html.j2"),
    Section("configuration", "Configuration", template="configuration.html.j2"),
    Section("provenance", "Provenance", template="provenance.html.j2"),
)

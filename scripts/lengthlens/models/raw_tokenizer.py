"""Whether the tokenizer that runs is the one in the model's folder.

transformers builds some tokenizers anew from their vocabulary and the class that config.json
implies, with the splitting rules of that class instead of those of tokenizer.json: under a class
that splits numbers into digits, "15" becomes two tokens where the model was trained on one. (Models
distilled into another family come so: a Qwen 2 config with the tokenizer of Llama 3.) The
`tokenizers` library reads tokenizer.json as it is; both must give the same ids, or the file's own
tokenizer is used, and told.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from lengthlens.errors import LengthlensError
from lengthlens.weights.arrival import whole_tokenizer

FILE = "tokenizer.json"

# Numerals, marks, line breaks, spaces, letters beyond ASCII, and what an instruction looks like.
TEXTS = (
    *(f"Write exactly {n} words." for n in (*range(1, 31), 42, 50, 99, 100, 128, 365, 1000, 12345)),
    " ".join(map(str, range(200))),
    "3.5 7,25 10:30 (15) N=15. 15! “15” '15'",
    "One... two…  three;\n\nfour:\n - five? - Six! «Seven», „eight“ (nine) [ten]",
    "\n", "\n\n", "\n\n\n", "\t", "  \n ", " leading and trailing ",
    "don't can't we'll I'm it's THEY'RE l'isola dell'acqua d'Kanner",
    "Perché così è già più bello: naïve, Straße, ëmmer, schéin, Übung, œuvre, año, Łódź.",
    "Пишите ровно пять слов. Γράψε πέντε λέξεις. 写五个词。 五つの単語を書いて。 اكتب خمس كلمات",
    "camelCase snake_case ALLCAPS mixed123numbers 1st 2nd 3rd",
    "🙂 👩‍👩‍👧 e\u0301 \u00a0 \u202f \u200b",
)  # fmt: skip


def difference(
    folder: Path, tokenizer: PreTrainedTokenizerBase, texts: Iterable[str] = TEXTS
) -> str | None:
    """The first of some texts that a loaded tokenizer reads in other tokens than its file says.

    Args:
        folder: of the model; without a tokenizer.json in it there is nothing to compare.
        tokenizer: as it was loaded.
        texts: what to compare.

    Returns:
        The text with both readings, in words; None if all ids are the same.

    Raises:
        LengthlensError: tokenizer.json cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    raw = whole_tokenizer(path)
    _add_missing(raw, tokenizer)
    for text in texts:
        wanted = raw.encode(text, add_special_tokens=False).ids
        found = list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        if found == wanted:
            continue
        pairs = enumerate(zip(found, wanted, strict=False))
        place = next((i for i, (a, b) in pairs if a != b), min(len(found), len(wanted)))
        part = slice(max(0, place - 1), place + 3)
        return (
            f"{text[:60]!r} as {tokenizer.convert_ids_to_tokens(found[part])} instead of "
            f"{[raw.id_to_token(token) for token in wanted[part]]}"
        )
    return None


def as_in_file(folder: Path, tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer; or, where it reads texts otherwise than its tokenizer.json, that of the file.

    Its attribute `instead_of` then says in words what it replaces.

    Raises:
        LengthlensError: the file's own tokenizer cannot be had.
    """
    if type(tokenizer) is PreTrainedTokenizerFast:  # reads the file as it is
        return tokenizer
    if (found := difference(folder, tokenizer)) is None:
        return tokenizer
    plain = PreTrainedTokenizerFast.from_pretrained(
        folder, local_files_only=True, padding_side=tokenizer.padding_side
    )
    if still := difference(folder, plain):
        raise LengthlensError(
            f"transformers reads {still}, which {folder / FILE} says; the tokenizer's files are "
            "not of one model: copy or fetch them again"
        )
    plain.instead_of = (
        f"the tokenizer of tokenizer.json is used: {type(tokenizer).__name__}, which transformers "
        f"makes of it by the model_type in config.json, reads {found}"
    )
    return plain


def _add_missing(raw: Tokenizer, tokenizer: PreTrainedTokenizerBase) -> None:
    """Give the raw tokenizer the tokens that only tokenizer_config.json adds."""
    known = {token.content for token in raw.get_added_tokens_decoder().values()}
    added = (token for _, token in sorted(tokenizer.added_tokens_decoder.items()))
    missing = [token for token in added if token.content not in known]
    raw.add_tokens(missing)

"""Small tokenizers of the two great families, built on the spot from a few sentences."""

import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

TEXT = (
    "The sea is calm in the morning. The small boat sails across the sea, and the wind sings.",
    "Write a sentence of exactly five words about the sea! Is the garden green? Perhaps...",
    'He said: "The train is late." (She smiled.) It was 1984, on the 3rd of May; what a year!',
    "Il mare è calmo la mattina. L'acqua dell'isola è chiara, e il vento canta sull'acqua.",
    "Scrivi una frase di esattamente cinque parole sul mare! Perché no? Così è più bello.",
    "D'Meer ass roueg am Mëttelmeer. De Wand séngt, an d'Kanner spillen um Strand.",
    "Schreif e Saz mat genee fënnef Wierder iwwer d'Meer! Firwat net? Et ass schéin...\n\n",
)

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<|start|>{{ message['role'] }}\n{{ message['content'] | trim }}<|turn|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)

# The split of Llama 3 and its kind: one leading non-letter sticks to a word, punctuation takes a
# leading space and following line breaks.
_SPLIT = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def byte_level_tokenizer(vocab_size: int = 480) -> PreTrainedTokenizerFast:
    """A byte-level BPE (GPT-2's alphabet, Llama 3's split) that begins each text with <|begin|>."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|begin|>", "<|end|>", "<|start|>", "<|turn|>", "<|pad|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    begin = tokenizer.token_to_id("<|begin|>")
    tokenizer.post_processor = TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", begin)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|begin|>",
        eos_token="<|end|>",
        pad_token="<|pad|>",
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
    )


def metaspace_tokenizer(vocab_size: int = 480) -> PreTrainedTokenizerFast:
    """A BPE as SentencePiece makes it for Llama 2: spaces as "▁", unknown bytes as "<0x..>"."""
    byte_pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    # SentencePiece never merges letters with punctuation: they are of different scripts.
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        Regex(r"▁?\p{L}+|▁?\p{N}+|▁?[^\p{L}\p{N}▁]+|▁"), behavior="isolated"
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1),
        ]
    )
    trainer = BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<unk>", "<s>", "</s>", *byte_pieces],
        show_progress=False,
    )
    text = [line.replace("\n", "") for line in TEXT]
    tokenizer.train_from_iterator(text, trainer)
    # The trainer makes the byte pieces special, but to SentencePiece they are ordinary pieces.
    tokenizer = _without_added(tokenizer, byte_pieces)
    begin = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", begin)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def _without_added(tokenizer: Tokenizer, pieces: list[str]) -> Tokenizer:
    """The same tokenizer with `pieces` as plain entries of its vocabulary."""
    description = json.loads(tokenizer.to_str())
    description["added_tokens"] = [
        entry for entry in description["added_tokens"] if entry["content"] not in set(pieces)
    ]
    return Tokenizer.from_str(json.dumps(description))


def with_added(tokenizer: PreTrainedTokenizerFast, *contents: str) -> PreTrainedTokenizerFast:
    """The tokenizer with ordinary (not special) added tokens."""
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in contents])
    return tokenizer


def word_piece_tokenizer(letters: str = "ab") -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer, which marks continuations with "##" and knows no other letters."""
    pieces = ["[SEP]", "[UNK]", *letters, "sea", "##side", ".", ","]
    vocabulary = {piece: token for token, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="[SEP]", unk_token="[UNK]")

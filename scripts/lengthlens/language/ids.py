"""Ids of prompts and samples: put together and read again in one place."""


def prompt_id(code: str, n: int, index: int) -> str:
    """The id of a prompt: en-n3-0007; that of a sample of it has its draw behind, en-n3-0007#0."""
    return f"{code}-n{n}-{index:04d}"


def language_of(name: str) -> str:
    """The language code in the id of a prompt or sample.

    Read from the end, for a code may itself hold "-n": `en-nz`, or even `x-n3-0007`.
    """
    return name.rsplit("-", 2)[0]

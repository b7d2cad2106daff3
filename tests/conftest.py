"""Tiny random models and small tokenizers that the tests share; nothing is downloaded.

Every annotation of the package, array shapes included, is checked at run time in the tests.
"""

from __future__ import annotations

import functools
import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from examples import WANTED, at_least
from hypothesis import settings
from jaxtyping import install_import_hook

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from lengthlens.generation.loaded import LoadedModel

# Before lengthlens is imported. `statistics` is left out: it refuses arrays of the wrong shape in
# words of its own, which its tests read.
PACKAGE = Path(__file__).parents[1] / "scripts" / "lengthlens"
CHECKED = sorted({path.stem for path in PACKAGE.iterdir()} - {"statistics", "__pycache__"})
install_import_hook([f"lengthlens.{name}" for name in CHECKED], "strict.check")

# The same examples in every run of the tests; `make torture` has the property-based ones try
# others, and more than the default of 100.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("torture", max_examples=at_least(100), deadline=None)
settings.load_profile("torture" if WANTED else "same")


# Packages are imported where they are used: the process that hands the tests out needs none.
@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Import all tests; what came with them stays, so the garbage collector need not look at it."""
    if session.config.getoption("dist", "no") == "no":
        import torch

        torch.set_num_threads(1)  # tiny models only get slower with more, and sums depend on it
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def environment():
    """No test changes the next one's environment variables, as a job in this process would."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small project that configurations are read for; tests that change it copy it."""
    from small_project import make_project

    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def languages_read_once() -> Iterator[None]:
    """For many configurations of projects whose language files stay as they are."""
    from lengthlens.configuration import checks

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "_load", functools.cache(checks._load))
        yield


@pytest.fixture
def config() -> dict[str, Any]:
    """A valid configuration of it, to be spoilt."""
    from small_project import make_config

    return make_config()


LLAMA3_VARIABLE = "LENGTHLENS_LLAMA3_TOKENIZER"


@pytest.fixture(scope="session")
def byte_level() -> PreTrainedTokenizerBase:
    """A small byte-level BPE tokenizer, as GPT-2 and Llama 3 have."""
    from tiny_tokenizers import byte_level_tokenizer

    return byte_level_tokenizer()


@pytest.fixture(scope="session")
def metaspace() -> PreTrainedTokenizerBase:
    """A small tokenizer as SentencePiece makes for Llama 2, Mistral or Gemma."""
    from tiny_tokenizers import metaspace_tokenizer

    return metaspace_tokenizer()


@pytest.fixture(scope="session")
def llama3_dir() -> Path:
    """The folder with Llama 3's real tokenizer; tests that need it are skipped without it."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "llama-3.1-tokenizer"
    folder = Path(os.environ.get(LLAMA3_VARIABLE, beside))
    if not (folder / "tokenizer.json").is_file():
        pytest.skip(
            f"Llama 3's tokenizer is not in {folder}; "
            f"set {LLAMA3_VARIABLE} to a folder that holds its tokenizer.json"
        )
    return folder


@pytest.fixture(scope="session")
def llama3(llama3_dir: Path) -> PreTrainedTokenizerBase:
    """Llama 3's real tokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(llama3_dir, local_files_only=True)


@pytest.fixture(scope="session")
def tiny_llama_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved random Llama: 2 layers × 4 heads (2 for keys and values), d_model 32, 2 stop tokens.

    Its tokenizer is the byte-level one, with a chat template; its generation config lists the
    end of the turn and the end of the text.
    """
    from tiny_llama import llama_for
    from tiny_tokenizers import byte_level_tokenizer

    folder = tmp_path_factory.mktemp("tiny-llama")
    tokenizer = byte_level_tokenizer()
    model = llama_for(tokenizer, initializer_range=0.1)
    assert sum(weight.numel() for weight in model.parameters()) < 60_000
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(tiny_llama_dir: Path) -> LoadedModel:
    """The random Llama, made to like beginning words and ending sentences: answers have both."""
    from lengthlens.generation.loaded import load
    from lengthlens.weights.checkpoints import ModelSpec

    loaded = load(ModelSpec(name="tiny", variant="instruct", path=str(tiny_llama_dir)))
    loaded.model.lm_head.weight[loaded.classes.words] *= 3
    loaded.model.lm_head.weight[loaded.classes.enders] *= 4
    return loaded

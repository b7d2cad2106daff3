"""Attributed generation and attribution at Llama 3.1 8B's exact shape, without its weights.

    PYTHONPATH=scripts python benchmarks/full_size.py --tokenizer FOLDER              # on a GPU
    PYTHONPATH=scripts python benchmarks/full_size.py --tokenizer FOLDER --layers 2   # on a CPU

1. A random checkpoint of the shape is written (llama_shape.py) and loaded by the study's own code.
2. The study's prompts are answered with everything recorded, written to HDF5 and attributed. Where
   an answer ends is imposed: N words and the mean errors that summaries of arXiv 2509.02075 report,
   in tokens of the given tokenizer.
3. In another process, the dump is attributed from the checkpoint's files alone.
4. In another process, heads are exchanged between two runs of a prompt, and prompts are answered
   without some heads and with all, in one batch each.
5. With `--full-readout`, 3 is done for all 32 layers on a dump of random numbers, and nothing else.

Printed are tokens a second against the bound that reading the weights sets (`--bandwidth`), peak
memory, the rate of the dump, patches a second, and what an ablated answer costs beside a plain one.
Nothing is left behind.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from llama_shape import HEAD, HEADS, HIDDEN, LAYERS, VOCABULARY, make_checkpoint

ROOT = Path(__file__).parents[1]
DATE = "2026-01-01"
# Mean word-count errors of secondary summaries of the paper: (variant, language) -> words.
ERRORS = {
    ("base", "en"): 34.8,
    ("base", "it"): 27.3,
    ("instruct", "en"): -0.07,
    ("instruct", "it"): -0.08,
}
N_WORDS = range(3, 10)


def language_of(code: str):
    """The study's language file."""
    from lengthlens.language.languages import load_language

    return load_language(ROOT / f"resources/languages/{code}.yaml")


def loaded_model(folder: Path, given: argparse.Namespace):
    """The random checkpoint, by the study's own code."""
    from lengthlens.generation.loaded import load
    from lengthlens.weights.checkpoints import ModelSpec

    spec = ModelSpec("full", given.variant, path=str(folder / "model"))
    return load(spec, dtype="bfloat16", device=given.device, threads=given.threads)


def activation_writer(path: Path):
    """What writes a dump of the model."""
    from lengthlens.files.formats import ACTIVATIONS
    from lengthlens.files.provenance import provenance
    from lengthlens.generation.activations import ActivationWriter

    model = {"model": "full", "source": "", "sha256": ""}
    return ActivationWriter(path, provenance(ACTIVATIONS, {"dtype": "bfloat16"}, model))


def tokens_per_word(tokenizer, language: str) -> float:
    """Tokens a word of the language's neutral sentences, spaces and punctuation included."""
    texts = language_of(language).neutral
    tokens = sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)
    return tokens / sum(len(text.split()) for text in texts)


def answer_tokens(variant: str, language: str, n: int, per_word: float) -> int:
    """Length of an answer as the paper reports it, the stop token included. [tokens]"""
    return max(2, round((n + ERRORS[variant, language]) * per_word) + 1)


def peak_gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def measure_generation(folder: Path, given: argparse.Namespace) -> dict:
    """Load, answer, record and attribute in this process."""
    import torch

    from lengthlens.attribution.per_sample import attribute_batches
    from lengthlens.generation.answers import Request, record_batch
    from lengthlens.language.prompts import build_prompts
    from lengthlens.models.readout import readout_of

    clock = time.perf_counter()
    loaded = loaded_model(folder, given)
    found = {"load_s": time.perf_counter() - clock, "after_load_gb": peak_gigabytes()}
    on_gpu = loaded.device.type == "cuda"
    work, limits = [], []
    for language in ("en", "it"):
        per_word = tokens_per_word(loaded.tokenizer, language)
        found[f"tokens_per_word_{language}"] = per_word
        for n in N_WORDS:
            for prompt in build_prompts(language_of(language), n, 0, given.per_n, 0):
                tokens = loaded.encode(prompt.text, DATE)
                work.append(Request(f"{prompt.id}#0", prompt, tokens))
                limits.append(answer_tokens(given.variant, language, n, per_word))
    readout = readout_of(loaded.model)
    found |= {"decode_s": 0.0, "write_s": 0.0, "attribute_s": 0.0, "tokens": 0, "steps": 0}
    with activation_writer(folder / "dump.h5") as writer:
        for start in range(0, len(work), given.rows):
            part = work[start : start + given.rows]
            clock = time.perf_counter()
            decoded = loaded.decode(
                [request.tokens for request in part],
                limits[start : start + given.rows],
                capture=True,
            )
            batch = record_batch(part, decoded, loaded, "whitespace")
            found["decode_s"] += time.perf_counter() - clock
            clock = time.perf_counter()
            writer.write(batch)
            found["write_s"] += time.perf_counter() - clock
            clock = time.perf_counter()
            scores, *_ = attribute_batches(readout, [batch], set())
            found["attribute_s"] += time.perf_counter() - clock
            found["tokens"] += len(batch.steps)
            found["steps"] += max(map(len, decoded.tokens))
            found["completeness"] = float(scores["completeness_error"].max())
    weights = sum(weight.nbytes for weight in loaded.model.parameters())
    gathered = loaded.model.get_input_embeddings().weight.nbytes  # only rows of it are read
    found |= {
        "answers": len(work),
        "read_gb_a_step": (weights - gathered) / 1e9,
        "dump_gb": (folder / "dump.h5").stat().st_size / 1e9,
        "peak_gb": peak_gigabytes(),
        "gpu_peak_gb": torch.cuda.max_memory_allocated() / 1e9 if on_gpu else 0.0,
        "device": torch.cuda.get_device_name() if on_gpu else f"CPU, {given.threads} thread(s)",
    }
    return found


def write_random_dump(path: Path, steps: int) -> None:
    """A dump of all 32 layers with random activations, answers of 40 tokens, batch by batch."""
    import numpy as np
    import torch

    from lengthlens.decoding.capture import Residuals
    from lengthlens.generation.records import Batch, Samples, Steps

    length, rows = 40, 10
    count = length * rows
    step, none = np.tile(np.arange(length), rows), np.zeros(count, dtype=np.float32)
    always = np.ones(count, dtype=bool)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.empty(count, *shape, dtype=torch.bfloat16).normal_()

    with activation_writer(path) as writer:
        for start in range(0, steps, count):
            tokens = np.random.default_rng(start).integers(0, VOCABULARY, (3, count))
            columns = Steps(
                sample=np.repeat(np.arange(rows), length),
                token=tokens[0],
                is_stop=~always,
                words_before=step,
                words_after=step + 1,
                sign=always.astype(np.int8),
                boundary=always,
                decision=step == 5,
                logit=none,
                mean_logit=none,
                ender_token=tokens[1],
                ender_logit=none,
                word_token=tokens[2],
                word_logit=none,
                scale=none + 1,
            )
            residuals = Residuals(
                drawn(HIDDEN), drawn(LAYERS, HEADS, HEAD), drawn(LAYERS, HIDDEN), torch.ones(count)
            )
            names = [f"{start}-{row}#0" for row in range(rows)]
            first = np.arange(rows) * length
            samples = Samples(names, np.full(rows, 5), first, np.full(rows, length))
            writer.write(Batch(samples, columns, residuals))


def measure_interventions(folder: Path, given: argparse.Namespace) -> dict:
    """Patches of single heads, and answers without four heads beside plain ones."""
    import torch

    from lengthlens.decoding.decode import Decoder
    from lengthlens.decoding.intervention import Intervention
    from lengthlens.generation.swaps import Swap
    from lengthlens.language.prompts import build_prompts, with_number
    from lengthlens.patching.runs import REACHED, SwapRuns, single_sets

    loaded = loaded_model(folder, given)
    a, cuda = loaded.anatomy, loaded.device.type == "cuda"

    def timed(work):
        clock = time.perf_counter()
        work()
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - clock

    language = language_of("en")
    prompt = build_prompts(language, 5, 0, 1, 0)[0]
    both = (prompt, with_number(language, prompt, 6))
    reached, other = (loaded.encode(asked.text, DATE) for asked in both)
    places = [i for i, (one, two) in enumerate(zip(reached, other, strict=True)) if one != two]
    answer = tuple(reached[-8:])  # any tokens do: the weights are random
    swap = Swap(1, 5, 6, tuple(reached), tuple(other), answer, places[0])
    heads = torch.zeros(a.n_layers, a.n_heads, dtype=torch.bool)
    heads[:: max(1, a.n_layers // 4), : given.rows // 4] = True
    no_mlp = torch.zeros(a.n_layers, dtype=torch.bool)
    sets = single_sets(heads.numpy(), no_mlp.numpy(), REACHED, "all", loaded.device)
    runs = SwapRuns(loaded, swap, given.memory_gb)
    runs.patched(sets)  # the first pass pays for the libraries' own preparations
    seconds = timed(lambda: runs.patched(sets))
    found = {"patches": len(sets), "patches_a_second": len(sets) / seconds}
    prompts, tokens = [reached] * given.rows, 24
    removed = torch.zeros(given.rows, a.n_layers, a.n_heads, dtype=torch.bool)
    removed[:, -1, :4] = True
    mlps = torch.zeros(given.rows, a.n_layers, dtype=torch.bool)
    without = Intervention(removed.to(loaded.device), mlps.to(loaded.device))
    classes = loaded.classes.endless()  # random weights must not end an answer
    plain, ablated = (
        timed(
            lambda change=change: Decoder(loaded.model, a, classes).decode(
                prompts, tokens, intervention=change
            )
        )
        for change in (None, without)
    )
    gpu = torch.cuda.max_memory_allocated() / 1e9 if cuda else 0.0
    return found | {
        "answers": given.rows,
        "plain_s": plain,
        "ablated_s": ablated,
        "peak_gb": peak_gigabytes(),
        "gpu_peak_gb": gpu,
    }


def measure_attribution(folder: Path, given: argparse.Namespace) -> dict:
    """Attribute the dump in this process, without the model: what attribute_answers does."""
    import torch

    from lengthlens.attribution.per_sample import attribute_batches
    from lengthlens.attribution.recorded import recorded_batches
    from lengthlens.generation.activations import open_activations
    from lengthlens.models.lazyweights import read_readout
    from lengthlens.weights.checkpoints import ModelSpec

    torch.set_num_threads(given.threads)
    dump = folder / "dump.h5"
    with open_activations(dump) as opened:
        wanted, steps = set(opened.samples.sample_id), opened.n_steps
    clock = time.perf_counter()
    readout = read_readout(ModelSpec("full", "base", path=str(folder / "model")), "bfloat16")
    found = {"load_s": time.perf_counter() - clock, "after_load_gb": peak_gigabytes()}
    clock = time.perf_counter()
    attribute_batches(readout, recorded_batches([dump], wanted), wanted)
    seconds = time.perf_counter() - clock
    return found | {"attribute_s": seconds, "tokens": steps, "peak_gb": peak_gigabytes()}


def in_own_process(action: str, folder: Path) -> dict:
    """Run this script again for one measurement, so that its peak memory is its own."""
    words = [sys.executable, *sys.argv, "--action", action, "--folder", str(folder)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{action} failed with exit status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def told(title: str, found: dict, bandwidth: float) -> None:
    print(f"\n{title}")
    for name, value in found.items():
        print(f"  {name:20} {value:.4g}" if isinstance(value, float) else f"  {name:20} {value}")
    if "decode_s" in found:
        rate = found["tokens"] / found["decode_s"]
        print(f"  {'tokens/s':20} {rate:.4g}")
        print(f"  {'dump MB/s':20} {1e3 * found['dump_gb'] / found['write_s']:.4g}")
        if bandwidth:
            bound = found["steps"] * found["read_gb_a_step"] / bandwidth
            print(f"  {'share of bound':20} {bound / found['decode_s']:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of the tokenizer")
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--variant", choices=("base", "instruct"), default="base")
    parser.add_argument("--per-n", type=int, default=100, help="prompts a language and N")
    parser.add_argument("--rows", type=int, default=128, help="answers in a batch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--memory-gb", type=float, default=2, help="of a batch of patches")
    parser.add_argument("--bandwidth", type=float, default=0, help="of the memory [GB/s]")
    parser.add_argument("--full-readout", type=int, default=0, metavar="STEPS")
    parser.add_argument("--where", type=Path, help="folder for the temporary files")
    parser.add_argument("--action", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    actions = {
        "generate": measure_generation,
        "attribute": measure_attribution,
        "intervene": measure_interventions,
    }
    if given.action:
        print(json.dumps(actions[given.action](given.folder, given)))
        return
    with tempfile.TemporaryDirectory(dir=given.where) as name:
        folder = Path(name)
        if given.full_readout:
            size = make_checkpoint(folder / "model", LAYERS, given.tokenizer, readout_only=True)
            write_random_dump(folder / "dump.h5", given.full_readout)
            dump = (folder / "dump.h5").stat().st_size
            print(
                f"all {LAYERS} layers: {size / 1e9:.2f} GB of weights, {dump / 1e9:.2f} GB of dump"
            )
        else:
            size = make_checkpoint(folder / "model", given.layers, given.tokenizer)
            print(f"{given.layers} layers of the exact shape: {size / 1e9:.2f} GB of weights")
            told("attributed generation", in_own_process("generate", folder), given.bandwidth)
            told("interventions", in_own_process("intervene", folder), 0)
        told("attribution from the dump", in_own_process("attribute", folder), 0)


if __name__ == "__main__":
    main()

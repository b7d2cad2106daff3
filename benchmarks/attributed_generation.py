"""What attribution costs beside plain generation.

    PYTHONPATH=scripts python benchmarks/attributed_generation.py [--size 30M] [--prompts 128]

Compares, on a random Llama model and prompts of the study's lengths, in one interleaved run:

    generate   transformers' own `generate`, greedy
    attribute  ours: captured in the decode, attributed by folding, nothing written
    dump       ours: the same, and everything captured is written to HDF5

Every measurement is a process of its own, so that peak memory is its own too. Printed are medians
of wall and CPU seconds, peak memory beyond the loaded model, and ratios to `generate`.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

METHODS = ("generate", "attribute", "dump")
SIZES = {  # hidden, feed-forward, layers, heads, key and value heads
    "1M": (128, 352, 6, 8, 4),
    "30M": (512, 1376, 8, 8, 4),
    "200M": (1024, 2752, 16, 16, 8),
}
VOCABULARY = 4096
PROMPT_TOKENS = (20, 32)
STOP = 2


def build(size: str):
    """A random Llama of the given size, in eval mode."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    hidden, feed_forward, layers, heads, kv_heads = SIZES[size]
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=feed_forward,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        tie_word_embeddings=False,
        eos_token_id=STOP,
        bos_token_id=1,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config).eval()


def batches(n_prompts: int, rows: int):
    """Random prompts of varying length, in batches."""
    import torch

    chance = torch.Generator().manual_seed(1)
    prompts = [
        torch.randint(3, VOCABULARY, (int(length),), generator=chance).tolist()
        for length in torch.randint(*PROMPT_TOKENS, (n_prompts,), generator=chance)
    ]
    return [prompts[start : start + rows] for start in range(0, n_prompts, rows)]


def plain(model, prompts, new_tokens: int) -> int:
    """transformers' generate on a left-padded batch; returns the tokens produced."""
    import torch

    width = max(map(len, prompts))
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    with torch.inference_mode():
        produced = model.generate(
            ids, attention_mask=mask, max_new_tokens=new_tokens, do_sample=False, pad_token_id=0
        )
    return (produced.shape[1] - width) * len(prompts)


def attributed(model, prompts, new_tokens: int, readout, writer) -> int:
    """Ours: captured in the decode, attributed, and dumped if there is a writer."""
    import numpy as np
    import torch

    from lengthlens.anatomy import dissect
    from lengthlens.attribution import attribute_batch
    from lengthlens.decode import TokenClasses, decode
    from lengthlens.records import Batch, Samples, Steps

    classes = TokenClasses(
        torch.tensor([STOP]), torch.tensor([STOP, 5, 6]), torch.arange(100, VOCABULARY // 2)
    )
    decoded = decode(model, dissect(model), prompts, classes, new_tokens, capture=True)
    lengths = np.array([len(tokens) for tokens in decoded.tokens])
    first = np.cumsum([0, *lengths[:-1]])
    row = np.repeat(np.arange(len(prompts)), lengths)
    step = np.arange(len(row)) - first[row]
    residuals = decoded.residuals[step, row]
    always = np.ones(len(row), dtype=bool)
    recorded = {
        name: getattr(decoded.logits, name).numpy()[row, step]
        for name in Steps.__dataclass_fields__
        if hasattr(decoded.logits, name)
    }
    steps = Steps(
        sample=row,
        token=np.concatenate([np.array(tokens) for tokens in decoded.tokens]),
        is_stop=~always,
        words_before=step,
        words_after=step + 1,
        sign=always.astype(np.int8),
        boundary=always,
        decision=step == 5,
        scale=residuals.scale.numpy(),
        **recorded,
    )
    names = [str(index) for index in range(len(prompts))]
    batch = Batch(Samples(names, np.full(len(names), 5), first, lengths), steps, residuals)
    error = float(attribute_batch(readout, batch)["completeness_error"].max())
    if error > 1e-3:
        raise SystemExit(f"attribution is not complete: {error}")
    if writer is not None:
        writer.write(batch)
    return len(row)


def measure(method: str, size: str, n_prompts: int, rows: int, new_tokens: int) -> dict:
    """One run in this process."""
    import torch

    from lengthlens.activations import ActivationWriter
    from lengthlens.readout import readout_of

    torch.set_num_threads(1)
    model = build(size)
    readout = readout_of(model)
    work = batches(n_prompts, rows)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu, produced = time.perf_counter(), time.process_time(), 0
    with tempfile.TemporaryDirectory() as folder:
        if method == "dump":
            with ActivationWriter(Path(folder) / "dump.h5", {}) as writer:
                for prompts in work:
                    produced += attributed(model, prompts, new_tokens, readout, writer)
        else:
            for prompts in work:
                if method == "generate":
                    produced += plain(model, prompts, new_tokens)
                else:
                    produced += attributed(model, prompts, new_tokens, readout, None)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"wall": wall, "cpu": cpu, "memory": peak / 1024, "tokens": produced}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", choices=SIZES, default="30M")
    parser.add_argument("--prompts", type=int, default=128)
    parser.add_argument("--rows", type=int, default=32, help="prompts in a batch")
    parser.add_argument("--tokens", type=int, default=24, help="new tokens a prompt")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--measure", choices=METHODS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        found = measure(given.measure, given.size, given.prompts, given.rows, given.tokens)
        print(json.dumps(found))
        return
    runs: dict[str, list[dict]] = {method: [] for method in METHODS}
    for _ in range(given.runs):
        for method in METHODS:
            done = subprocess.run(
                [sys.executable, *sys.argv, "--measure", method], capture_output=True, text=True
            )
            if done.returncode:
                raise SystemExit(done.stderr)
            runs[method].append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{given.size} model, {given.prompts} prompts, {given.tokens} new tokens, 1 thread")
    print(f"{'method':10} {'wall s':>8} {'cpu s':>8} {'memory MB':>10} {'wall ×':>7} {'cpu ×':>7}")
    reference = {key: _median(runs["generate"], key) for key in ("wall", "cpu")}
    for method in METHODS:
        row = {key: _median(runs[method], key) for key in ("wall", "cpu", "memory")}
        ratios = [row[key] / reference[key] for key in ("wall", "cpu")]
        print(
            f"{method:10} {row['wall']:8.2f} {row['cpu']:8.2f} {row['memory']:10.0f} "
            f"{ratios[0]:7.2f} {ratios[1]:7.2f}"
        )


def _median(runs: list[dict], key: str) -> float:
    return statistics.median(run[key] for run in runs)


if __name__ == "__main__":
    main()

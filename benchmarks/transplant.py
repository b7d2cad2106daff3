"""What a hybrid costs beside answering prompts with it: weights of one model put into another.

    PYTHONPATH=scripts python benchmarks/transplant.py [--size 30M]

Two random Llamas; 32 of the study's prompts, answered with the lengths of the pocket model's
answers. CPU seconds on one thread, medians of several turns:

- `swap`: the donor's weights in and the own ones back;
- `copy`: as many bytes copied twice, which is what a swap in place must do;
- `generation`: the prompts answered by the hybrid.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
from workload import SIZES, imposed, in_place_of, pocket, random_llama, study, timed

from lengthlens.transplant.parts import Parts, Piece
from lengthlens.transplant.swap import transplanted

TURNS, PROMPTS, CAP = 9, 32, 64


def seconds(run: Callable[[], object], turns: int = TURNS) -> float:
    """Median CPU seconds of a call."""
    return statistics.median(timed(run)[0] for _ in range(turns))


def hybrids(parts: Parts) -> dict[str, tuple[tuple[Piece, ...], float]]:
    """What is transplanted, and at which scale."""
    layers, heads = parts.anatomy.n_layers, parts.anatomy.n_heads
    head = ((layers - 1, 0),)
    every = tuple((layers - 1, head) for head in range(heads))
    return {
        "one head": (parts.of_heads(head), 1.0),
        "all heads of a layer": (parts.of_heads(every), 1.0),
        "one layer": (parts.of_layers([layers - 1]), 1.0),
        "half of the layers": (parts.of_layers(range(layers // 2, layers)), 1.0),
        "everything": (parts.whole(), 1.0),
        "half of the difference": (parts.whole(), 0.5),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="30M")
    torch.set_num_threads(1)
    loaded = pocket("instruct")
    work = study(loaded, PROMPTS, PROMPTS, CAP)
    size = parser.parse_args().size
    into = in_place_of(loaded, random_llama(size, len(loaded.tokenizer)))
    donor = random_llama(size, len(loaded.tokenizer))
    with torch.no_grad():
        for weight in donor.parameters():
            weight.mul_(1.01)
    own = dict(into.model.named_parameters())

    def answer() -> None:
        for batch, lengths in zip(work.batches, work.lengths, strict=True):
            prompts = [request.tokens for request in batch]
            into.decode(prompts, CAP, choose=imposed(lengths))  # fmt: skip

    generation = seconds(answer, 3)
    print(f"{size}, {work.tokens} tokens: generation {generation:.2f} s")
    print("| transplanted | MB | swap, ms | copy, ms | swap ÷ generation |\n|---|---|---|---|---|")
    for name, (pieces, scale) in hybrids(Parts(into.model, into.anatomy)).items():
        taken = [piece.of(own[piece.name].data) for piece in pieces]

        def swap(pieces: tuple[Piece, ...] = pieces, scale: float = scale) -> None:
            with transplanted(into.model, donor, pieces, scale):
                pass

        def copy(taken: list[torch.Tensor] = taken) -> None:
            for weight in taken:
                weight.copy_(weight.clone())

        bytes_ = sum(weight.numel() * weight.element_size() for weight in taken)
        swapping, copying = seconds(swap), seconds(copy)
        print(
            f"| {name} | {bytes_ / 1e6:.1f} | {swapping * 1e3:.1f} | {copying * 1e3:.1f} | "
            f"{swapping / generation:.4f} |"
        )


if __name__ == "__main__":
    main()

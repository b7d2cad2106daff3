"""Make resources/smollm2/sentences.txt from WordNet 3.0: `python scripts/extract_sentences.py`."""

import argparse
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    from lengthlens.files.whole import write_text
    from lengthlens.tuning.wordnet import WordNet, marked_sentences

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=Path("/usr/share/wordnet"),
        help="with WordNet's data files (default: where Debian's wordnet-base has them)",
    )
    target = ROOT / "resources/smollm2/sentences.txt"
    parser.add_argument("--output", type=Path, default=target)
    arguments = parser.parse_args()
    lines = marked_sentences(WordNet(arguments.folder))
    write_text(arguments.output, "".join(f"{line}\n" for line in lines))
    print(f"{arguments.output} now holds {len(lines)} sentences")


if __name__ == "__main__":
    main()

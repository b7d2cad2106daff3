"""Put a trained pocket pair into resources/pocket: `python scripts/install_pocket.py [FOLDER]`."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main(arguments: list[str]) -> None:
    from lengthlens.pocket.checkpoint import install_pair

    trained = Path(arguments[0]) if arguments else ROOT / "results/pocket-training/shipped"
    install_pair(trained, ROOT / "resources/pocket")
    print(f"resources/pocket now holds the pair of {trained}")


if __name__ == "__main__":
    main(sys.argv[1:])

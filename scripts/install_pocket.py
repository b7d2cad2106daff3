"""Put a trained pocket pair into resources/pocket: `python scripts/install_pocket.py [FOLDER]`."""

import argparse
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    from lengthlens.pocket.checkpoint import install_pair

    parser = argparse.ArgumentParser(description=__doc__)
    trained = ROOT / "results/pocket-training/shipped"
    parser.add_argument("folder", nargs="?", type=Path, default=trained, help="the trained pair")
    arguments = parser.parse_args()
    install_pair(arguments.folder, ROOT / "resources/pocket")
    print(f"resources/pocket now holds the pair of {arguments.folder}")


if __name__ == "__main__":
    main()

"""The table of all configuration keys, docs/configuration.md, from `settings` and the defaults.

`make docs` writes it; a test fails when the page is out of date.
"""

from pathlib import Path
from typing import Any

import yaml

from lengthlens.files.marks import markdown_table
from lengthlens.files.validation import documented_keys, dotted, legal_values, show
from lengthlens.settings.sections import Settings

HEAD = """# Configuration

`config.yaml` contains the default of every key, with comments. Your own configuration contains only
the keys that differ: `snakemake --cores 2 --configfile my.yaml`. Single keys can be given as
`--config counting=unicode`. Sections are merged key by key, with one exception: if your
configuration gives `models`, it replaces the default set as a whole.

If several files after `--configfile` give the same key, the last one wins; the last file that
contains `models` determines all models. `--config` takes precedence over every file. The defaults
come from the project's own `config.yaml`, from whatever folder Snakemake is started. A relative
`path` of a model is resolved from the project's folder.

Everything is checked before anything runs, and all problems are reported at once. Each report names
the key, the value, what is legal, where it was given (file and line, or `--config`) and, for a
misspelt key, what was probably meant. A key that a file gives twice is also an error, because YAML
would silently keep the last one.

Values that YAML reads differently from how they are written are refused: 010 (YAML reads 8), 0x1F,
1_000, 1:30 (90), and `no`, `off`, `yes`, `on` (false and true). Write plain decimal numbers, true
or false, and put texts such as the language code "no" in quotes. Write whole numbers as such (3,
not 3.0 or 1e3). After `--config` no quotes are needed, because each value is read as its
key requires.

If a file is not YAML at all, or not UTF-8, Snakemake stops with a message of its own before ours
can appear. `make doctor CONFIG=my.yaml` tells you what is wrong with the file and in which line.

"""
TAIL = """

<!-- Made from scripts/lengthlens/settings and config.yaml by `make docs`. -->
"""


def config_table(root: Path) -> str:
    """The whole page as Markdown; `root` is the project's folder."""
    defaults = yaml.safe_load((root / "config.yaml").read_text(encoding="utf-8"))
    rows = []
    for path, key in documented_keys(Settings.model_json_schema()).items():
        name = dotted("{name}" if part == "*" else part for part in path)
        default = f"`{_default(defaults, path)}`" if "*" not in path else ""
        cells = [f"`{name}`", default, legal_values(key), key["description"]]
        rows.append(cell.replace("|", "\\|") for cell in cells)
    return HEAD + markdown_table(["key", "default", "legal values", "what it does"], rows) + TAIL


def _default(defaults: dict[str, Any], path: tuple[str | int, ...]) -> str:
    value: Any = defaults
    for part in path:
        value = value[part]
    if isinstance(value, dict):  # the models: their names tell enough
        return ", ".join(value)
    return value if isinstance(value, str) else show(value).replace("'", "")


if __name__ == "__main__":
    project = Path(__file__).parents[3]
    (project / "docs/configuration.md").write_text(config_table(project), encoding="utf-8")

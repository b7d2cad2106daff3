"""The table of all configuration keys, docs/configuration.md, from `settings` and the defaults.

`make docs` writes it; a test tells when it is old.
"""

from pathlib import Path
from typing import Any

import yaml

from lengthlens.files.validation import documented_keys, dotted, legal_values, show
from lengthlens.settings.sections import Settings

HEAD = """# Configuration

`config.yaml` holds the default of every key, with comments. A configuration of your own holds only
the keys that differ: `snakemake --cores 2 --configfile my.yaml`; single keys can be given as
`--config counting=unicode`. Sections are merged key by key, with one exception: `models`, when
given, replaces the default set as a whole.

Of several files after `--configfile` the last one counts where they give the same key, and the last
one that has `models` gives them all; `--config` counts before every file. The defaults are those of
the project's own `config.yaml`, from whatever folder Snakemake is started. A relative `path` of a
model starts from the project's folder.

Everything is checked before anything runs, and all problems are reported at once, each with its
key, the value, what is legal, where it was given (file and line, or `--config`) and, for a misspelt
key, what was probably meant. A key that a file gives twice is a problem, too: YAML would keep the
last one without a word.

What YAML reads otherwise than it is written is refused: 010 (YAML reads 8), 0x1F, 1_000, 1:30 (90),
and `no`, `off`, `yes`, `on` (false and true). Write plain decimal numbers, true or false, and put
texts such as the language code "no" in quotes. Whole numbers are written as such (3, not 3.0 or
1e3). After `--config` no quotes are needed: each value is read as its key takes it.

A file that is no YAML at all, or not UTF-8, makes Snakemake stop in words of its own before ours
are reached; `make doctor CONFIG=my.yaml` says what is wrong with it, and in which line.

| key | default | legal values | what it does |
|---|---|---|---|
"""
TAIL = """
<!-- Made from scripts/lengthlens/settings and config.yaml by `make docs`. -->
"""


def config_table(root: Path) -> str:
    """The whole page as Markdown; `root` is the project's folder."""
    defaults = yaml.safe_load((root / "config.yaml").read_text(encoding="utf-8"))
    rows = ""
    for path, key in documented_keys(Settings.model_json_schema()).items():
        name = dotted("{name}" if part == "*" else part for part in path)
        default = f"`{_default(defaults, path)}`" if "*" not in path else ""
        cells = [f"`{name}`", default, legal_values(key), key["description"]]
        rows += "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
    return HEAD + rows + TAIL


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

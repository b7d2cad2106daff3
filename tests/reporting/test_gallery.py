"""Pages that finished runs write: one of the gallery, and the table of several side by side."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from lengthlens.errors import LengthlensError
from lengthlens.files.formats import REPORT
from lengthlens.files.provenance import write_with_sidecar
from lengthlens.reporting import gallery, replication
from lengthlens.reporting.digest import BEGIN, DEEPER, END

CLAIM = {
    "id": "a", "claim": "It counts.", "status": "confirmatory", "verdict": "supported",
    "model": "chat", "value": 0.5, "low": 0.25, "high": -0.75, "unit": "words",
}  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """Results with one figure, two claims and a patched model of two layers."""
    for module, name in (
        (gallery, "open_claims"), (replication, "open_claims"), (replication, "open_table"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, pd.read_csv)  # of files without their provenance
    folder = tmp_path / "results/r"
    (folder / "figures").mkdir(parents=True)
    (folder / "tables").mkdir()
    made = {
        "schema": REPORT,
        "config": {"run": "r", "report": {"title": "A study"}},
        "commit": "no commit", "lengthlens": "1.0", "models": {"chat": "abc"},
    }  # fmt: skip
    story = f"<!-- run r -->\n\n### First\n\n- led\n\n{DEEPER}\n\n### Later\n\n- more\n"
    write_with_sidecar(folder / "findings.md", story, made)
    unasked = CLAIM | {"id": "b", "verdict": "no data", "status": "exploratory"}
    pd.DataFrame([CLAIM, unasked]).to_csv(folder / "claims.csv", index=False)
    test = {"claim": "It is sure.", "status": "confirmatory", "model": "chat"}
    tests = [test | {"verdict": "undecided", "p_holm": 0.25}, test | {"verdict": "no data"}]
    pd.DataFrame(tests).to_csv(folder / "tables/confirmatory.csv", index=False)
    figure = Figure(figsize=(20, 10))
    figure.subplots().plot([1, 2])
    figure.savefig(folder / "figures/tracing.png", dpi=100)
    base = {
        "model": "chat",
        "language": "en",
        "swap": 1,
        "positions": "all",
        "direction": "noising",
    }
    rows = [
        base | {"component": "L0H1", "kind": "head", "layer": 0, "share": 0.6, "share_low": 0.5,
                "share_high": 0.7},
        base | {"component": "L1H0", "kind": "head", "layer": 1, "share": 0.3, "share_low": 0.05,
                "share_high": 0.5},
        base | {"component": "L1M", "kind": "mlp", "layer": 1, "share": 0.2, "share_low": 0.15,
                "share_high": 0.3},
    ]  # fmt: skip
    others = [rows[0] | {"language": "it"}, rows[0] | {"positions": "prompt"}]
    pd.DataFrame(rows + others).to_csv(folder / "tables/patches.csv", index=False)
    ends = {"": 0.6, "_low": 0.5, "_high": 0.7}
    control = {"model": "chat", "language": "en", "chance": 0.13}
    control |= {f"{name}{end}": v for name in ("exact", "n_effect") for end, v in ends.items()}
    pd.DataFrame([control]).to_csv(folder / "tables/control.csv", index=False)
    return folder


def test_a_page_tells_what_the_run_did_and_found(run, tmp_path):
    target = tmp_path / "gallery/r"
    target.mkdir(parents=True)
    (target / "old.png").write_bytes(b"")
    gallery.main(str(run), str(target), "make it")
    text = (target / "README.md").read_text()
    assert text.startswith("# A study\n") and "| command | `make it` |" in text
    assert "| weights of chat | `abc` |" in text
    assert text.index("## First") < text.index("![") < text.index("## Later")
    assert "| It counts. | confirmatory | supported | 0.5 [0.25, −0.75] words |" in text
    assert text.endswith("The run has no data on 1 more claims.\n")
    assert [path.name for path in target.glob("*.png")] == ["tracing.png"]
    with gallery.Image.open(target / "tracing.png") as image:
        assert image.width == gallery.WIDTH and len(image.getcolors()) <= gallery.COLOURS


def test_changed_findings_are_not_published(run, tmp_path):
    (run / "findings.md").write_text((run / "findings.md").read_text() + "more")
    with pytest.raises(LengthlensError, match="findings.md"):
        gallery.main(str(run), str(tmp_path / "page"), "make it")
    assert not (tmp_path / "page").exists()


def test_runs_stand_side_by_side_and_only_sure_components_are_named(run, tmp_path):
    page = tmp_path / "docs/replication.md"
    page.parent.mkdir()
    page.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    replication.main(str(page), str(run))
    text = page.read_text()
    row = "| chat | 60.0 % [50.0, 70.0] | 13.0 % | 0.600 [0.500, 0.700] | L0H1 60 % | L1M 20 % |"
    assert row in text.replace("\u202f", " ") and "L1H0" not in text
    told = "| It is sure. | undecided (p = 0.25) |\n| It counts. | supported |"
    assert f"| claim | chat |\n|---|---|\n{told}\n" in text
    assert text.startswith("before\n") and text.endswith("after\n")
    depths = replication.carriers(run).set_index("component")["depth"]
    assert depths.to_dict() == {"L0H1": 0.25, "L1H0": 0.75, "L1M": 0.75}
    assert (page.parent / "figures/replication.svg").exists()


def test_models_tuned_from_one_are_compared_component_by_component() -> None:
    first = pd.DataFrame(
        {
            "component": [f"L{layer}M" for layer in range(12)],
            "kind": "mlp",
            "layer": range(12),
            "share": [0.1 * layer for layer in range(12)],
        }
    )
    swapped = first["share"].mask(first["layer"] < 2, [0.1, 0.0] + [0.0] * 10)
    rows = [("a", first), ("b", first.assign(share=swapped)), ("c", first)]
    untuned = {"a": {"u"}, "b": {"u"}, "c": {"other"}}
    table = replication.alike(rows, untuned)
    _, _, heads, mlps = table.splitlines()  # none of a or b with c
    assert heads.startswith("| a, b | 0 heads | ")
    assert mlps.startswith("| a, b | 12 MLPs | 0.99 [")
    assert replication.alike(rows[::2], untuned) == ""

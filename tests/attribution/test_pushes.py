"""What pushed at each step: shares of the end margin, and the tokens as text."""

from __future__ import annotations

import numpy as np
import pytest
from architectures import tiny_model
from test_attribution import captured
from tiny_tokenizers import byte_level_tokenizer

from lengthlens.attribution import pushes
from lengthlens.attribution.dla import KINDS, attribute_steps, sum_scores
from lengthlens.attribution.per_sample import pushes_file
from lengthlens.attribution.pushes import batch_pushes, component_names, with_texts
from lengthlens.models.layout import Layout
from lengthlens.models.loading import text_decoder
from lengthlens.models.readout import readout_of
from lengthlens.models.vocabulary import surfaces


@pytest.fixture(scope="module")
def model():
    return tiny_model("gpt2")


@pytest.fixture(scope="module")
def attributed(model):
    batch = captured(model)
    return attribute_steps(readout_of(model), batch.steps, batch.residuals), batch


def test_shares_of_a_step_add_up_to_its_margin(attributed, monkeypatch):
    """Σ_c share = logit of the best ender − logit of the best word-beginning token; kept: all."""
    monkeypatch.setattr(pushes, "LARGEST", 10**6)
    for row in batch_pushes(*attributed):
        steps = zip(row["margin"], row["to_end"], row["to_go_on"], strict=True)
        for margin, to_end, to_go_on in steps:
            if margin is not None:
                total = sum(share for _, share in [*to_end, *to_go_on])
                # Measured: at most 4.0e-4, each share being rounded to 1e-4.
                assert total == pytest.approx(margin, abs=1e-3)


def test_only_boundary_steps_have_a_margin(attributed):
    batch = attributed[1]
    rows = batch_pushes(*attributed)
    assert [row["sample_id"] for row in rows] == batch.samples.sample_id
    found = [margin is not None for row in rows for margin in row["margin"]]
    assert found == batch.steps.boundary.tolist() and not all(found)
    assert [row["decision"] for row in rows] == [3, 3, None, 3]


def test_the_largest_are_kept_in_their_order(attributed):
    scores, batch = attributed
    shares = pushes.flat_shares(scores)
    names = component_names(*scores.head.shape[2:])
    step = int(np.flatnonzero(batch.steps.boundary)[0])
    row = batch_pushes(scores, batch)[0]
    place = next(i for i, margin in enumerate(row["margin"]) if margin is not None)
    for key, order in (
        ("to_end", np.argsort(-shares[step])),
        ("to_go_on", np.argsort(shares[step])),
    ):
        assert len(row[key][place]) <= pushes.LARGEST
        assert [name for name, _ in row[key][place]] == [
            names[i] for i in order[: len(row[key][place])]
        ]


def test_produced_scores_and_signs_add_up_to_cwa(attributed):
    """Σ_t s_t DLA_t of a kind = the sum of CWA over its components, but for rounding to 1e-4."""
    scores, batch = attributed
    cwa = sum_scores(scores, batch, Layout.even(*scores.head.shape[2:])).sel(target="token")
    rows = batch_pushes(scores, batch)
    for kind in KINDS:
        whole = cwa[f"cwa_{kind}"]
        whole = whole.sum([dim for dim in whole.dims if dim != "sample"])
        found = [np.dot(row["sign"], row[f"dla_{kind}"]) for row in rows]
        np.testing.assert_allclose(found, whole, atol=6e-5 * len(rows[0]["sign"]))
    assert {-1, 1} <= {sign for row in rows for sign in row["sign"]}


def test_names_follow_the_order_of_the_scores(attributed):
    scores, _ = attributed
    names = component_names(*scores.head.shape[2:])
    flat = pushes.flat_shares(scores)
    assert len(names) == flat.shape[1] == len(set(names))
    np.testing.assert_array_equal(flat[:, names.index("L1H2")], scores.head[2, :, 1, 2])
    np.testing.assert_array_equal(flat[:, names.index("L1M")], scores.mlp[2, :, 1])
    np.testing.assert_array_equal(flat[:, names.index("embedding")], scores.embed[2])


def test_texts_add_up_to_the_answer_whatever_its_bytes():
    tokenizer = byte_level_tokenizer()
    answer = "Zwee 🌊 \n Wierder."
    ids = tokenizer.encode(answer, add_special_tokens=False)
    row = {"token": ids, "ender": [None, *ids[1:]], "word": [None] * len(ids)}
    texts = with_texts(row, text_decoder(tokenizer), lambda part: surfaces(tokenizer, part))
    assert "".join(texts["text"]) == answer
    assert len(texts["text"]) == len(ids) and "\ufffd" not in "".join(texts["text"])
    assert texts["ender_text"][0] is None and texts["word_text"] == [None] * len(ids)


def test_the_file_has_the_answers_order():
    rows = [{"sample_id": "b"}, {"sample_id": "a"}, {"sample_id": "c"}]
    assert pushes_file(rows, [{"sample_id": "a"}, {"sample_id": "b"}]) == [rows[1], rows[0]]

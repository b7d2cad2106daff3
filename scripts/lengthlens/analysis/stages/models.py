"""How the models were used."""

from lengthlens.analysis.models import summarise_models


def tables(answers, proofs):
    uses = {model: proof["use"] for model, proof in proofs.items()}
    return {"models": summarise_models(uses, answers)}

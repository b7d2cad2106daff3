"""Chosen components against random ones, and the tests of claims.yaml."""

from lengthlens.ablation.hypotheses import hypotheses_from
from lengthlens.analysis.confirmatory import confirm
from lengthlens.analysis.effects import summarise_ablation
from lengthlens.analysis.repair import summarise_repair
from lengthlens.analysis.transfer import correlate_profiles, summarise_transfer


def tables(ablations, repairs, selections, bootstrap, tests, model_pairs, untuned, **scored):
    effects = summarise_ablation(ablations, bootstrap)
    files = {"attribution": scored["attributions"], "forced": scored["forced"]}
    files["ablation"] = ablations
    return {
        "ablation": effects,
        "confirmatory": confirm(hypotheses_from(tests), model_pairs, files, bootstrap),
        "transfer": summarise_transfer(effects, untuned),
        "repair": summarise_repair(repairs, bootstrap),
        "profiles": correlate_profiles(selections, untuned, bootstrap),
    }

"""What parts of the weights suffice and are necessary, and where the weights moved."""

from lengthlens.analysis.transplants import summarise_changes, summarise_transplants


def tables(transplants_files, pair_patching_files, bootstrap):
    return {
        "transplants": summarise_transplants(transplants_files, bootstrap),
        "weight_change": summarise_changes(transplants_files, pair_patching_files, bootstrap),
    }

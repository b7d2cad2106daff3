"""The count in the stream of all tuned models, and the end margin by depth."""

from lengthlens.analysis.count import summarise_count
from lengthlens.analysis.margin_by_depth import summarise_depth


def tables(attributions, forced, count_files, bootstrap, tunings, model_pairs):
    depth = summarise_depth(tunings, model_pairs, attributions, forced, bootstrap)
    return summarise_count(count_files, bootstrap) | {"depth": depth}

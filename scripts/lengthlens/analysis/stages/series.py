"""Tuning as a series of checkpoints."""

from lengthlens.analysis.series import summarise_series


def tables(steps, bootstrap, **read):
    return {"series": summarise_series({name: tuple(at) for name, at in steps.items()}, read)}

"""Intervals and tests for answers that come in topics: arrays in, arrays out, no files.

`bootstrap`: level and draws, passed to all others; `intervals`: means, means per step, balanced
means, differences; `shares`: Wilson; `chance`: exact answers by chance; `permutation`: p-values
against controls, Holm; `within_layers`: scores against effects by permutation; `sign_null`: the
null of CWA; `ranks`: Spearman; `agreement`: Spearman over components, of means over samples.
docs/statistics.md gives the formulas and the measured coverage.
"""

from lengthlens.statistics.agreement import Ranking, agreement_interval, rank_components
from lengthlens.statistics.bootstrap import DEFAULT, INTERVAL_METHODS, Bootstrap
from lengthlens.statistics.chance import chance_terms
from lengthlens.statistics.intervals import (
    BESIDE,
    ENDS,
    Estimate,
    Interval,
    balanced_interval,
    combination_interval,
    difference_interval,
    mean_interval,
    ratio_interval,
    side_of,
)
from lengthlens.statistics.permutation import holm, permutation_p
from lengthlens.statistics.ranks import spearman_interval
from lengthlens.statistics.shares import share_difference_interval, share_interval, wilson
from lengthlens.statistics.sign_null import shift_variance, sign_null_mean
from lengthlens.statistics.within_layers import PermutationTest, within_layer_test

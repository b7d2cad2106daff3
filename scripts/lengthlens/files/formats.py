"""Name and version of the format of every file that the workflow writes.

A reader refuses a file of another version. Raise a version when the meaning of a file changes,
or how it is protected against silent changes. No other place writes a version down.
"""

from typing import Final

# What HDF5 and netCDF files are written for: (oldest layout, newest layout) of HDF5. The second
# one bounds what may be used, so that HDF5 1.10 and everything later reads the files.
HDF5_LAYOUTS: Final = ("earliest", "v110")

WEIGHTS = "weights/1"
PROOF = "proof/2"
PROMPTS = "prompts/2"
GENERATIONS = "generations/3"
PROBES = "probes/3"
ACTIVATIONS = "activations/3"
ATTRIBUTION = "attribution/3"
TOKENS = "tokens/3"
CWA = "cwa/3"
FORCED = "forced/3"
PATCHING = "patching/1"
CIRCUITS = "circuits/1"
TRACING = "tracing/1"
ATTENTION = "attention/1"
PATHS = "paths/1"
CONTRASTS = "contrasts/1"
COUNT = "count/1"
SELECTION = "selection/3"
ABLATION = "ablation/4"
REPAIR = "repair/3"
TRANSPLANT = "transplant/1"
CLAIMS = "claims/4"
TABLE = "table/3"
FIGURE = "figure/2"
REPORT = "report/2"

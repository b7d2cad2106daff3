"""Name and version of the format of every file that the workflow writes.

A reader refuses a file of another version. Raise a version when the meaning of a file changes,
or how it is protected against silent changes.
"""

WEIGHTS = "weights/1"
PROOF = "proof/1"
PROMPTS = "prompts/2"
GENERATIONS = "generations/2"
PROBES = "probes/2"
ACTIVATIONS = "activations/2"
ATTRIBUTION = "attribution/2"
TOKENS = "tokens/2"
CWA = "cwa/2"
FORCED = "forced/2"
PATCHING = "patching/1"
CIRCUITS = "circuits/1"
TRACING = "tracing/1"
ATTENTION = "attention/1"
SELECTION = "selection/2"
ABLATION = "ablation/3"
REPAIR = "repair/2"
CLAIMS = "claims/2"
TABLE = "table/2"
FIGURE = "figure/2"
REPORT = "report/2"

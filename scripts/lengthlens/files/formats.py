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
ATTRIBUTION = "attribution/3"
TOKENS = "tokens/2"
CWA = "cwa/2"
FORCED = "forced/3"
SELECTION = "selection/3"
ABLATION = "ablation/4"
REPAIR = "repair/3"
CLAIMS = "claims/3"
TABLE = "table/3"
FIGURE = "figure/2"
REPORT = "report/2"

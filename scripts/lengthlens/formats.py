"""Name and version of the format of every file that the workflow writes.

A reader refuses a file of another version. Raise a version when the meaning of a file changes.
"""

PROOF = "proof/1"
PROMPTS = "prompts/1"
GENERATIONS = "generations/1"
PROBES = "probes/1"
ACTIVATIONS = "activations/1"
ATTRIBUTION = "attribution/1"
TOKENS = "tokens/1"
CWA = "cwa/1"
FORCED = "forced/1"
SELECTION = "selection/1"
ABLATION = "ablation/2"
REPAIR = "repair/1"
CLAIMS = "claims/1"
TABLE = "table/1"
FIGURE = "figure/1"
REPORT = "report/1"

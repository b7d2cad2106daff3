"""Where N is and what looks at it, of all tuned models."""

from lengthlens.analysis.attention import summarise_attention
from lengthlens.analysis.contrasts import summarise_contrasts
from lengthlens.analysis.paths import summarise_paths
from lengthlens.analysis.tracing import summarise_tracing


def tables(tracing_files, attention_files, paths_files, contrasts_files, bootstrap):
    return {
        "tracing": summarise_tracing(tracing_files, bootstrap),
        **summarise_attention(attention_files, bootstrap),
        **summarise_paths(paths_files, bootstrap),
        **summarise_contrasts(contrasts_files, bootstrap),
    }

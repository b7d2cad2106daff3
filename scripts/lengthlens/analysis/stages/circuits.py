"""What carries N: single components and circuits of all tuned models."""

from lengthlens.analysis.circuits import summarise_circuits
from lengthlens.analysis.patch_scores import compare_with_patches
from lengthlens.analysis.patches import carriers, summarise_patches


def tables(attributions, forced, patching_files, circuits_files, bootstrap, circuits):
    patches = summarise_patches(patching_files, bootstrap)
    scores = compare_with_patches(attributions, forced, patching_files, bootstrap)
    return {
        "patches": patches,
        "carriers": carriers(patches),
        "patch_scores": scores,
        **summarise_circuits(circuits_files, circuits["faithful"], bootstrap),
    }

"""Force given answers on one model in one language, its own and those of the other tuning."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    from lengthlens.attribution.means import replacement
    from lengthlens.files.formats import FORCED
    from lengthlens.forced.measure import Effects, Other, force_answers
    from lengthlens.generation.forcing import Forcing
    from lengthlens.generation.job import AnswersJob
    from lengthlens.generation.opening import settings_of
    from lengthlens.readers import open_attribution
    from lengthlens.weights.checkpoints import ModelSpec

    job, params = AnswersJob(snakemake), snakemake.params
    answers, config, forced = job.answers, job.config, job.config["forced"]
    means = other = None
    if path := snakemake.input.get("attribution"):
        means = replacement(job.open(open_attribution, path))
    if params.other:
        (name, entry), *_ = params.other.items()
        given = job.rows(snakemake.input.other_answers)
        other = Other(ModelSpec.from_config(name, entry), given)
    loaded = job.open_model()
    exhaustive = loaded.anatomy.layout.n_components <= forced["exhaustive"]
    effects = Effects(
        forced["modes"],
        config["ablation"]["positions"],
        forced["per_n"] if exhaustive else 0,  # NaN: patches rank the components of large models
        means,
        config["ablation"]["seed"],
    )
    forcing = Forcing(loaded, settings_of(config), config["counting"])
    n_words = config["n_words"]
    dataset = force_answers(forcing, job.language, answers, n_words, effects, other=other)
    job.write(dataset, FORCED)


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821

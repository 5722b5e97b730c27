"""Commands that are steps of the journey at a site, from the adapter to the report."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from c2lst_client.cli.options import HomeOption, JsonOption, OverwriteOption, SiteOption, journey_of

app = typer.Typer()

GuidanceOption = Annotated[float | None, typer.Option(min=0, max=20, help="Guidance scale; the release suggests one.")]
SampleStepsOption = Annotated[int | None, typer.Option("--steps", min=2, max=1000, help="Sampler steps per patch.")]
SamplerOption = Annotated[str | None, typer.Option(help="unipc, dpm++ or ddim.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Of all random choices.")]


@app.command()
def adapt(
    site: SiteOption,
    release: Annotated[str | None, typer.Option(help="For example mob/1; the newest that is here by default.")] = None,
    fraction: Annotated[
        float | None, typer.Option(min=0.01, max=0.99, help="Of the spots that train; 0.25 by default.")
    ] = None,
    split: Annotated[Literal["random", "blocked"] | None, typer.Option(help="How training spots are chosen.")] = None,
    genes: Annotated[int | None, typer.Option(min=1, help="Genes in the panel, the most expressed ones.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps, instead of the release's suggestion.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the split, the adapter and its training.")] = None,
    dp_epsilon: Annotated[
        float | None, typer.Option(min=0, max=1000, help="Train with differential privacy per spot (DP-SGD); 0 for without.")
    ] = None,
    dp_delta: Annotated[float | None, typer.Option(min=0, max=1, help="Its delta; 0.001 by default.")] = None,
    overwrite: OverwriteOption = False,
    home: HomeOption = None,
) -> None:
    """Train the site's adapter, after pulling, reading, stain-normalising and splitting as far as that is missing."""
    from c2lst_client.dp_budget import sentence
    from c2lst_client.options import AdaptOptions

    options = AdaptOptions(
        release=release,
        fraction=fraction,
        split=split,
        genes=genes,
        steps=steps,
        seed=seed,
        overwrite=overwrite,
        dp_epsilon=dp_epsilon,
        dp_delta=dp_delta,
    )
    with journey_of(home, site) as journey:
        adapted = journey.adapt(options)
    split_made = adapted.adaptation.split
    typer.echo(
        f"Adapter of {site} on {adapted.release.manifest.name}: {len(split_made.train)} training spots, "
        f"{len(split_made.test)} held out, {len(adapted.adaptation.panel.genes)} genes."
    )
    if adapted.adaptation.record.dp is not None:
        typer.echo(sentence(adapted.adaptation.record.dp))


@app.command()
def synthesise(
    site: SiteOption,
    per_spot: Annotated[int | None, typer.Option(min=1, max=1000, help="Pairs per training spot.")] = None,
    expression: Annotated[
        Literal["interpolated", "observed"], typer.Option(help="Mix similar spots' expression, or repeat observed rows.")
    ] = "interpolated",
    guidance: GuidanceOption = None,
    steps: SampleStepsOption = None,
    sampler: SamplerOption = None,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    home: HomeOption = None,
) -> None:
    """Generate synthetic pairs; they stay on this machine."""
    from c2lst_client.options import SampleOptions

    options = SampleOptions(guidance=guidance, steps=steps, sampler=sampler, seed=seed, overwrite=overwrite)
    with journey_of(home, site) as journey:
        pairs = journey.synthesise(options, per_spot=per_spot, mode=expression)
    typer.echo(f"{len(pairs)} synthetic pairs in {pairs.folder}")


@app.command()
def evaluate(
    site: SiteOption,
    guidance: GuidanceOption = None,
    steps: SampleStepsOption = None,
    sampler: SamplerOption = None,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Generate from the expression of held-out spots and measure whether the morphology follows it."""
    from c2lst_client.options import SampleOptions

    with journey_of(home, site) as journey:
        result = journey.evaluate(
            SampleOptions(guidance=guidance, steps=steps, sampler=sampler, seed=seed, overwrite=overwrite)
        )
    if as_json:
        typer.echo(result.model_dump_json(indent=1))
        return
    typer.echo(f"Nuclear fraction of {len(result.barcodes)} held-out spots, synthetic against real, Pearson r [95 %]:")
    for label, value in (
        ("synthetic", result.r),
        ("synthetic, concordance", result.concordance),
        ("conditions shuffled", result.shuffled_r),
        ("ridge regression on the genes", result.ridge_r),
    ):
        typer.echo(f"  {label:<30} {value.value:6.3f}  [{value.low:.3f}, {value.high:.3f}]")


@app.command()
def cotrain(
    site: SiteOption,
    seeds: Annotated[int | None, typer.Option(min=1, max=100, help="Repeats of each arm.")] = None,
    ratio: Annotated[
        list[int] | None, typer.Option(min=1, max=1000, help="Synthetic pairs per training spot; repeat for several arms.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the gene expression predictor with and without synthetic pairs and say whether they helped."""
    with journey_of(home, site) as journey:
        result = journey.cotrain(seeds=seeds, ratios=ratio)
    if as_json:
        typer.echo(result.model_dump_json(indent=1))
        return
    typer.echo(f"{'TRAINED ON':<38} {'MAE [95 %]':<24} PEARSON r [95 %]")
    for arm in result.arms:
        mae, r = arm.mae, arm.pearson
        typer.echo(
            f"{arm.label:<38} {mae.value:.4f} [{mae.low:.4f}, {mae.high:.4f}] {r.value:7.4f} [{r.low:.4f}, {r.high:.4f}]"
        )
    typer.echo(result.verdict)


@app.command()
def privacy(site: SiteOption, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Attack adapter and synthetic pairs as an outsider would, and say whether the pairs may be exported."""
    from c2lst_client.privacy.export_rule import decide
    from c2lst_client.privacy.words import lines

    with journey_of(home, site) as journey:
        result = journey.privacy()
    if as_json:
        typer.echo(result.model_dump_json(indent=1))
        return
    for line in lines(result):
        typer.echo(line)
    decision = decide(result)
    typer.echo(f"Export is {decision.verdict}.")
    for reason in decision.reasons:
        typer.echo(f"  {reason}")


@app.command()
def report(site: SiteOption, home: HomeOption = None) -> None:
    """Write the site's report, after everything that it needs."""
    with journey_of(home, site) as journey:
        path = journey.report()
    typer.echo(f"Report: {path}")

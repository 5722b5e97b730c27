"""Commands that are steps of the journey at a site, from the adapter to the report."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from c2lst_client.cli.completion import complete_release
from c2lst_client.cli.opening import journey_of
from c2lst_client.cli.options import HomeOption, OverwriteOption, SiteOption
from c2lst_shared.command_line import CommandLine, JsonOption, show

app = CommandLine(panel="Steps at a site, in their order")

DATA, TRAINING, PRIVACY = "Data", "Training", "Differential privacy"

GuidanceOption = Annotated[float | None, typer.Option(min=0, max=20, help="Guidance scale; the release suggests one.")]
SampleStepsOption = Annotated[int | None, typer.Option("--steps", min=2, max=1000, help="Sampler steps per patch.")]
SamplerOption = Annotated[str | None, typer.Option(help="unipc, dpm++ or ddim.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Of all random choices.")]


@app.command()
def adapt(
    site: SiteOption,
    release: Annotated[
        str | None,
        typer.Option(help="For example mob/1; the newest that is here by default.", autocompletion=complete_release),
    ] = None,
    fraction: Annotated[
        float | None,
        typer.Option(min=0.01, max=0.99, help="Of the spots that train; 0.25 by default.", rich_help_panel=DATA),
    ] = None,
    split: Annotated[
        Literal["random", "blocked"] | None, typer.Option(help="How training spots are chosen.", rich_help_panel=DATA)
    ] = None,
    genes: Annotated[
        int | None, typer.Option(min=1, help="Genes in the panel, the most expressed ones.", rich_help_panel=DATA)
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Training steps, instead of the release's suggestion.", rich_help_panel=TRAINING),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the split, the adapter and its training.", rich_help_panel=TRAINING)
    ] = None,
    dp_epsilon: Annotated[
        float | None,
        typer.Option(min=0, max=1000, help="Train with DP-SGD, per spot; 0 for without.", rich_help_panel=PRIVACY),
    ] = None,
    dp_delta: Annotated[
        float | None, typer.Option(min=0, max=1, help="Its delta; 0.001 by default.", rich_help_panel=PRIVACY)
    ] = None,
    overwrite: OverwriteOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the site's adapter, after pulling, reading, stain-normalising and splitting as far as that is missing.

    The backbone of the release stays as it is; what is trained are the gene projection and the FiLM heads. Stopped with Ctrl-C
    or killed, the same command goes on from the last checkpoint. Without options it keeps what the adapter has.

    Examples:
        c2lst-client adapt --site rep11
        c2lst-client adapt --site rep11 --fraction 0.5 --split blocked --overwrite
        c2lst-client adapt --site rep11 --dp-epsilon 8 --overwrite
    """
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
    kept, dp = adapted.adaptation, adapted.adaptation.record.dp
    counts = {"train_spots": len(kept.split.train), "held_out_spots": len(kept.split.test), "genes": len(kept.panel.genes)}
    lines = [
        f"Adapter of {site} on {adapted.release.manifest.name}: {counts['train_spots']} training spots, "
        f"{counts['held_out_spots']} held out, {counts['genes']} genes."
    ]
    if dp is not None:
        lines.append(sentence(dp))
    show({"site": site, "release": adapted.release.manifest.name, **counts, "dp": dp}, lines, as_json=as_json)


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
    as_json: JsonOption = False,
) -> None:
    """Generate synthetic pairs; they stay on this machine.

    `cotrain` and `report` make them by themselves where they are missing. To take pairs elsewhere, see `export`.

    Examples:
        c2lst-client synthesise --site rep11
        c2lst-client synthesise --site rep11 --per-spot 20 --seed 1 --overwrite
    """
    from c2lst_client.options import SampleOptions

    options = SampleOptions(guidance=guidance, steps=steps, sampler=sampler, seed=seed, overwrite=overwrite)
    with journey_of(home, site) as journey:
        pairs = journey.synthesise(options, per_spot=per_spot, mode=expression)
    lines = [f"{len(pairs)} synthetic pairs in {pairs.folder}"]
    show({"site": site, "pairs": len(pairs), "folder": pairs.folder}, lines, as_json=as_json)


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
    """Generate from the expression of held-out spots and measure whether the morphology follows it.

    Read r and concordance together: noise that darkens with the expression reaches a high r, and a low concordance.

    Examples:
        c2lst-client evaluate --site rep11
        c2lst-client evaluate --site rep11 --guidance 2 --overwrite
        c2lst-client evaluate --site rep11 --json
    """
    from c2lst_client.options import SampleOptions

    with journey_of(home, site) as journey:
        result = journey.evaluate(
            SampleOptions(guidance=guidance, steps=steps, sampler=sampler, seed=seed, overwrite=overwrite)
        )
    lines = [f"Nuclear fraction of {len(result.barcodes)} held-out spots, synthetic against real, Pearson r [95 %]:"]
    for label, value in (
        ("synthetic", result.r),
        ("synthetic, concordance", result.concordance),
        ("conditions shuffled", result.shuffled_r),
        ("ridge regression on the genes", result.ridge_r),
    ):
        lines.append(f"  {label:<30} {value.value:6.3f}  [{value.low:.3f}, {value.high:.3f}]")
    show(result, lines, as_json=as_json)


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
    """Train the gene expression predictor with and without synthetic pairs and say whether they helped.

    All arms take the same number of steps; those without synthetic pairs also one and two thirds of it, and the best counts.
    Errors are on spots that trained nothing. The verdict rests on what was declared beforehand, and "no evidence that it helps
    here" is a normal one.

    Examples:
        c2lst-client cotrain --site rep11
        c2lst-client cotrain --site rep11 --seeds 5 --ratio 1 --ratio 5 --ratio 10
    """
    with journey_of(home, site) as journey:
        result = journey.cotrain(seeds=seeds, ratios=ratio)
    lines = [f"{'TRAINED ON':<38} {'MAE [95 %]':<24} PEARSON r [95 %]"]
    for arm in result.arms:
        mae, r = arm.mae, arm.pearson
        lines.append(
            f"{arm.label:<38} {mae.value:.4f} [{mae.low:.4f}, {mae.high:.4f}] {r.value:7.4f} [{r.low:.4f}, {r.high:.4f}]"
        )
    show(result, [*lines, result.verdict], as_json=as_json)


@app.command()
def privacy(site: SiteOption, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Attack adapter and synthetic pairs as an outsider would, and say whether the pairs may be exported.

    Takes minutes. `export` asks for this measurement of exactly these pairs. Nothing found is no proof of privacy.

    Examples:
        c2lst-client privacy --site rep11
        c2lst-client privacy --site rep11 --json
    """
    from c2lst_client.privacy.export_rule import decide
    from c2lst_client.privacy.words import lines

    with journey_of(home, site) as journey:
        result = journey.privacy()
    decision = decide(result)
    reasons = (f"  {reason}" for reason in decision.reasons)
    show(result, [*lines(result), f"Export is {decision.verdict}.", *reasons], as_json=as_json)


@app.command()
def report(site: SiteOption, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Write the site's report, after everything that it needs.

    One HTML file that needs nothing else: verdict with its interval, morphology, arms, real and synthetic patches.

    Examples:
        c2lst-client report --site rep11
    """
    with journey_of(home, site) as journey:
        path = journey.report()
    show({"site": site, "report": path}, [f"Report: {path}"], as_json=as_json)

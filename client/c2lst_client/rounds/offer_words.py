"""What a round asks for, in sentences, and as the commands that do the same by hand."""

from __future__ import annotations

import shlex

from c2lst_shared.web.words import grouped
from c2lst_shared.wire import RoundOffer


def sentences(offer: RoundOffer) -> list[str]:
    """Say step by step what would run."""
    spots = f"{100 * offer.fraction:g} % of the slide's spots, " + (
        "chosen at random" if offer.split == "random" else "on one side of a straight line"
    )
    genes = f"{offer.genes} genes" if offer.genes else "the number of genes that the release suggests"
    found = [
        f"Fetch release {offer.release_name} from the centre where it is not here yet, and verify its signatures.",
        "Cut a patch around every spot and give it the release's colours.",
        f"Train an adapter for {grouped(offer.steps)} steps on {spots}, with {genes}.",
        "Measure the release's own model on all patches, without the adapter.",
    ]
    if offer.evaluate:
        found.append("Generate a patch for each held-out spot and measure whether its nuclei follow the expression.")
    if offer.cotrain:
        seeds = f"{offer.seeds} times" if offer.seeds else "as often as the release suggests"
        ratios = " and ".join(map(str, offer.ratios)) if offer.ratios else "as many as the release suggests"
        found.append(f"Generate synthetic pairs ({ratios} per training spot), which stay here.")
        found.append(f"Train a predictor of expression with and without them, {seeds}, and compare the errors.")
    return found


def commands(offer: RoundOffer, slide: str | None) -> list[str]:
    """Return the commands that do the same work in the slide's own folder; SLIDE stands for one that is not chosen yet."""
    site = ["--site", slide or "SLIDE"]
    seed = ["--seed", str(offer.seed)]
    adapt = [
        "adapt", *site, "--release", offer.release_name, "--fraction", f"{offer.fraction:g}", "--split", offer.split,
        *(["--genes", str(offer.genes)] if offer.genes else []), "--steps", str(offer.steps), *seed,
    ]  # fmt: skip
    found = [adapt]
    if offer.evaluate:
        found.append(["evaluate", *site, *seed])
    if offer.cotrain:
        found.append(["synthesise", *site, *(["--per-spot", str(max(offer.ratios))] if offer.ratios else []), *seed])
        seeds = ["--seeds", str(offer.seeds)] if offer.seeds else []
        found.append(["cotrain", *site, *seeds, *(word for ratio in offer.ratios or () for word in ("--ratio", str(ratio)))])
    return [shlex.join(["c2lst-client", *words]) for words in found]

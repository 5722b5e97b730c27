"""What a site's steps left on disk, as the inputs of a report."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np

from c2lst_client.adapted import Adapted
from c2lst_client.evaluate.results import ConditioningResult, CotrainResult
from c2lst_client.report.inputs import PatchPairs, ReportInputs, SlideView, SpotTable
from c2lst_client.sites import Site
from c2lst_client.spots.pairs import PairSet
from c2lst_shared import journal

SLIDE_VIEW_PX = 900  # longest side of the slide on the page


def collect(site: Site, adapted: Adapted, conditioning: ConditioningResult, cotrain: CotrainResult) -> ReportInputs:
    """Gather what a report shows: arrays of the site's spots, and the results of its steps."""
    spots, adaptation, manifest = adapted.spots, adapted.adaptation, adapted.release.manifest
    _, test_rows = adapted.rows
    generated = PairSet.open(site.conditioning)
    with np.load(site.cotrain / "predictions.npz", allow_pickle=False) as stored:
        predictions = {name: stored[name] for name in stored.files}
    return ReportInputs(
        site=site.name,
        release=manifest.name,
        preset=manifest.preset,
        created=datetime.now(UTC),
        spots=SpotTable(
            barcodes=spots.barcodes,
            genes=list(adaptation.panel.genes),
            expression=adapted.expression,
            centres=spots.centres,
            um_per_px=spots.um_per_px,
        ),
        split=adaptation.split,
        slide=_slide_view(site),
        pairs=PatchPairs(
            barcodes=generated.barcodes,
            real=spots.patches(test_rows),
            synthetic=generated.patches(range(len(generated))),
        ),
        conditioning=conditioning,
        cotrain=cotrain,
        predictions=predictions,
        adaptation_losses=adaptation.losses,
        pretraining=manifest.metrics,
        settings={
            "Adapter": f"{adaptation.record.fingerprint[:16]}, {adaptation.record.settings.adapter.blocks} blocks",
            "Adaptation": f"{adaptation.record.settings.training.steps} steps, seed {adaptation.record.settings.seed}",
            "Spots": " ".join(spots.notes),
            "Synthetic pairs": _pairs_in_words(PairSet.open(site.synthetic)),
            "Software": ", ".join(f"{name} {version(name)}" for name in ("c2lst", "torch", "diffusers")),
        },
        journal=journal.read(site.folder).entries,
    )


def _pairs_in_words(pairs: PairSet) -> str:
    made = pairs.provenance
    sampling = made["sampling"]
    return (
        f"{len(pairs)} pairs of {made['expression']} expression, {made['pairs_per_spot']} per training spot, "
        f"{sampling['sampler']} with {sampling['steps']} steps, guidance {sampling['guidance']:g}, seed {made['seed']}"
    )


def _slide_view(site: Site) -> SlideView:
    pixels, factor = site.read_spots().slide.overview(SLIDE_VIEW_PX)
    return SlideView(pixels=pixels, slide_px_per_px=factor)

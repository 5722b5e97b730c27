"""The report as one HTML page: `build_report` takes data and returns the text, `write_report` puts it on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from c2lst_client.report import clusters, figures, gene_figures, genes, likeness, tissue, words
from c2lst_client.report.inputs import TRUTH, PatchPairs, ReportInputs
from c2lst_client.report.templates import environment
from c2lst_client.report.theme import CLUSTER_COLOURS, page_style, style_file
from c2lst_shared import atomic

EXAMPLES = 8  # pairs shown per group


@dataclass(frozen=True)
class PairView:
    """One held-out spot: its patch, and one generated from its expression."""

    barcode: str
    real: str
    synthetic: str


@dataclass(frozen=True)
class GroupView:
    """One group of spots on the page."""

    cluster: clusters.Cluster
    colour: str
    held_out: int
    map: str
    pairs: list[PairView]


@dataclass(frozen=True)
class GeneMapView:
    """One gene's maps: what was measured, and what either predictor says."""

    result: genes.GeneResult
    why: str
    low: float  # z-scores at the ends of the colour scale
    high: float
    panels: list[tuple[str, str]]  # title, map


def write_report(path: Path, inputs: ReportInputs) -> None:
    """Write the report to `path`, whole or not at all."""
    atomic.write_text(path, build_report(inputs))


def build_report(inputs: ReportInputs) -> str:
    """Return the report as one HTML document that needs no other file, no network and no script.

    Raises:
        BadInput: a gene to map is not in the panel.
    """
    return environment().from_string(style_file("report.html.j2")).render(_context(inputs))


def _context(inputs: ReportInputs) -> dict[str, object]:
    extent = tissue.extent_of(inputs.spots)
    return {
        "inputs": inputs,
        "words": words,
        "css": page_style(),
        "extent": extent,
        "scale": tissue.scale_bar(extent, inputs.spots.um_per_px),
        "slide": tissue.slide_uri(inputs.slide, extent) if inputs.slide else None,
        "maps": _gene_maps(inputs, extent),
        "gradient": tissue.value_gradient(),
        "curve": figures.training_curve(inputs.adaptation_losses) if len(inputs.adaptation_losses) else None,
        "likeness": likeness.compare(inputs.pairs.real, inputs.pairs.synthetic) if inputs.pairs else None,
        "longest_step": max((entry.seconds for entry in inputs.journal), default=0.0),
        **_group_part(inputs, extent),
        **_conditioning_part(inputs),
        **_cotrain_part(inputs),
    }


def _group_part(inputs: ReportInputs, extent: tissue.Extent) -> dict[str, object]:
    found = clusters.find_clusters(inputs)
    colours = [CLUSTER_COLOURS[i % len(CLUSTER_COLOURS)] for i in range(len(found))]
    order = np.concatenate([cluster.members for cluster in found])
    paint = [colour for cluster, colour in zip(found, colours, strict=True) for _ in cluster.members]
    return {
        "overview": tissue.spot_map(inputs.spots, extent, order, paint),
        "groups": [_group_view(inputs, extent, *pair) for pair in zip(found, colours, strict=True)],
    }


def _group_view(inputs: ReportInputs, extent: tissue.Extent, cluster: clusters.Cluster, colour: str) -> GroupView:
    barcodes = {inputs.spots.barcodes[i] for i in cluster.members}
    return GroupView(
        cluster=cluster,
        colour=colour,
        held_out=len(barcodes.intersection(inputs.split.test)),
        map=tissue.spot_map(inputs.spots, extent, cluster.members, colour),
        pairs=_examples(inputs.pairs, barcodes) if inputs.pairs else [],
    )


def _examples(pairs: PatchPairs, barcodes: set[str]) -> list[PairView]:
    candidates = np.flatnonzero([barcode in barcodes for barcode in pairs.barcodes])
    return [
        PairView(pairs.barcodes[i], tissue.patch_uri(pairs.real[i]), tissue.patch_uri(pairs.synthetic[i]))
        for i in clusters.draw_examples(candidates, EXAMPLES)
    ]


def _conditioning_part(inputs: ReportInputs) -> dict[str, object]:
    result = inputs.conditioning
    if result is None:
        return {}
    return {"scatter": figures.conditioning_scatter(result), "rulers": figures.conditioning_rulers(result)}


def _cotrain_part(inputs: ReportInputs) -> dict[str, object]:
    result = inputs.cotrain
    if result is None:
        return {}
    per_gene = genes.gene_results(result)
    return {
        "changes": {entry.arm: entry.change for entry in result.comparisons if entry.against == result.primary.against},
        "errors": figures.arm_errors(result.arms),
        "forest": figures.forest(result.comparisons, result.primary),
        "gene_changes": gene_figures.gene_changes(per_gene),
        "gene_r": gene_figures.gene_correlations(per_gene),
        "gene_parts": genes.change_by_predictability(per_gene),
        "gene_table": genes.gene_table(per_gene),
    }


def _gene_maps(inputs: ReportInputs, extent: tissue.Extent) -> list[GeneMapView]:
    result = inputs.cotrain
    if result is None or not inputs.predictions:
        return []
    rows = {barcode: row for row, barcode in enumerate(inputs.spots.barcodes)}
    where = np.array([rows[barcode] for barcode in result.test_barcodes])
    panels = {"measured": inputs.predictions[TRUTH]}
    for arm in genes.primary_arms(result):
        panels[f"predicted ({words.typeset(arm.label)})"] = inputs.predictions[arm.label]

    def view(gene: genes.GeneResult, why: str) -> GeneMapView:
        values = {title: table[:, gene.position] for title, table in panels.items()}
        low, high = (float(bound) for bound in np.quantile(values["measured"], (0.02, 0.98)))
        return GeneMapView(
            gene, why, low, high,
            [(title, _painted(inputs, extent, where, column, low, high)) for title, column in values.items()],
        )  # fmt: skip

    return [view(*chosen) for chosen in genes.choose_genes(genes.gene_results(result), inputs.genes_to_map)]


def _painted(
    inputs: ReportInputs,
    extent: tissue.Extent,
    where: npt.NDArray[np.intp],
    values: npt.NDArray[np.floating],
    low: float,
    high: float,
) -> str:
    return tissue.spot_map(inputs.spots, extent, where, tissue.value_colours(values, low, high))

"""Synthetic pairs: patches generated from expression vectors by the adapted backbone, streamed to disk.

Which expression? A pair conditioned on an observed spot carries that spot's transcriptome; an interpolated one mixes what
similar training spots share and draws the rest anew (`expression_plan.py`), so that no observed row can be computed back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from c2lst_client.adapt import Adaptation
from c2lst_client.expression_plan import NEIGHBOURS, ExpressionMode, Plan, plan_expression
from c2lst_client.release import LoadedRelease
from c2lst_client.spots.pairs import PairSet, PairWriter
from c2lst_client.spots.prepare import PreparedSpots
from c2lst_shared.diffusion.film import AdaptedBackbone
from c2lst_shared.diffusion.hardware import best_device
from c2lst_shared.diffusion.sampler import conditional, generate, seeded_noise, to_uint8, unconditional
from c2lst_shared.errors import Interrupted
from c2lst_shared.presets import SamplingConfig
from c2lst_shared.progress import Progress

KIND = "synthetic pairs"


def synthesise(
    folder: Path,
    release: LoadedRelease,
    adaptation: Adaptation,
    spots: PreparedSpots,
    *,
    per_spot: int,
    mode: ExpressionMode,
    sampling: SamplingConfig,
    seed: int,
    overwrite: bool,
    progress: Progress,
    stop: Callable[[], bool],
) -> PairSet:
    """Generate `per_spot` pairs for each training spot into `folder`; a stopped call goes on where it was.

    Raises:
        BadInput: the folder holds pairs made otherwise and `overwrite` is false.
        Interrupted: stopped between two batches.
    """
    train_rows, _ = adaptation.split.rows(spots.barcodes)
    plan = plan_expression(adaptation.panel.transform(spots.counts, spots.genes)[train_rows], per_spot, mode, seed)
    mixing = {"mixing": {"neighbours": NEIGHBOURS, "components": plan.components}} if mode == "interpolated" else {}
    return write_pairs(
        folder,
        release,
        adaptation,
        plan.expression,
        barcodes=[f"synthetic-{number:06}" for number in range(len(plan.source))],
        coords=spots.centres[train_rows][plan.source],
        obs=mixing_columns(plan, [spots.barcodes[row] for row in train_rows]),
        sampling=sampling,
        seed=seed,
        provenance={"kind": KIND, "expression": mode, "pairs_per_spot": per_spot} | mixing,
        overwrite=overwrite,
        progress=progress,
        stop=stop,
    )


def mixing_columns(plan: Plan, barcodes: Sequence[str]) -> dict[str, list[Any]]:
    """Say of each pair which spots it was mixed from and in what shares: columns that stay on site.

    Args:
        plan: N pairs.
        barcodes: of the training spots.

    Returns:
        `source`, `source_share`, `partner_1`, `partner_1_share` and so on, N values each.
    """
    columns: dict[str, list[Any]] = {}
    for number in range(plan.spots.shape[1]):
        name = f"partner_{number}" if number else "source"
        columns[name] = [barcodes[row] for row in plan.spots[:, number]]
        columns[f"{name}_share"] = plan.shares[:, number].tolist()
    return columns


def generate_patches(
    release: LoadedRelease,
    adapted: AdaptedBackbone,
    expression: npt.NDArray[np.float32],
    *,
    sampling: SamplingConfig | None = None,
    seed: int = 0,
    numbers: Sequence[int] | None = None,
) -> npt.NDArray[np.uint8]:
    """Generate one patch for each row of `expression`, all in one batch.

    Args:
        release: that `adapted` was made of.
        adapted: the backbone with an adapter, as `Adaptation.attach` gives it.
        expression: N x G z-scores of the adapter's panel.
        sampling: what the release suggests when not given.
        seed: with a patch's number it decides the noise that the patch starts from.
        numbers: of the patches, 0 to N - 1 when not given; patches of one number start from the same noise.

    Returns:
        N x image_px x image_px x 3, uint8.
    """
    manifest = release.manifest
    sampling = sampling or manifest.defaults.sampling
    device = next(adapted.parameters()).device
    condition = torch.from_numpy(np.ascontiguousarray(expression, dtype=np.float32)).to(device)
    noise = seeded_noise(seed, numbers or range(len(expression)), manifest.backbone.image_px).to(device)
    predict = conditional(adapted, condition, manifest.diffusion, sampling)
    pixels: npt.NDArray[np.uint8] = to_uint8(generate(predict, noise, manifest.diffusion, sampling)).cpu().numpy()
    return pixels


def write_pairs(
    folder: Path,
    release: LoadedRelease,
    adaptation: Adaptation,
    expression: npt.NDArray[np.float32],
    *,
    barcodes: Sequence[str],
    coords: npt.NDArray[np.float64],
    obs: dict[str, list[Any]],
    sampling: SamplingConfig,
    seed: int,
    provenance: dict[str, Any],
    overwrite: bool,
    progress: Progress,
    stop: Callable[[], bool],
    noises: Sequence[int] | None = None,
) -> PairSet:
    """Generate one patch for each row of `expression` (N x G z-scores) and stream them to `folder`, batch by batch.

    `noises` are the N numbers of the noise that patches start from, 0 to N - 1 when not given.

    Raises:
        BadInput: the folder holds pairs made otherwise and `overwrite` is false.
        Interrupted: stopped between two batches; the same call goes on with the next one.
    """
    made_by = {
        "release": release.manifest.name,
        "weights_sha256": release.fingerprint,
        "adapter": adaptation.record.fingerprint,
        "panel": adaptation.panel.fingerprint,
        "seed": seed,
        "sampling": sampling.model_dump(mode="json", exclude={"batch"}),
    }
    with PairWriter(
        folder,
        barcodes=barcodes,
        expression=expression,
        genes=list(adaptation.panel.genes),
        image_px=release.manifest.backbone.image_px,
        coords=coords,
        obs=obs,
        provenance=provenance | made_by | ({} if noises is None else {"noises": list(noises)}),
        overwrite=overwrite,
    ) as writer:
        if writer.done < len(writer):
            adapted = adaptation.attach(release)

            def make(numbers: range) -> npt.NDArray[np.uint8]:
                rows = expression[numbers.start : numbers.stop]
                chosen = numbers if noises is None else [noises[number] for number in numbers]
                return generate_patches(release, adapted, rows, sampling=sampling, seed=seed, numbers=chosen)

            _stream(writer, make, sampling.batch, progress, stop)
    return PairSet.open(folder)


def write_unadapted(
    folder: Path,
    release: LoadedRelease,
    count: int,
    *,
    sampling: SamplingConfig,
    seed: int,
    progress: Progress,
    stop: Callable[[], bool],
) -> PairSet:
    """Generate `count` patches by the backbone alone, which knows of no expression, and stream them to `folder`.

    Returns:
        The patches as pairs whose only "gene" is 0 throughout.

    Raises:
        Interrupted: stopped between two batches; the same call goes on with the next one.
    """
    manifest, device = release.manifest, best_device()
    with PairWriter(
        folder,
        barcodes=[f"unadapted-{number:06}" for number in range(count)],
        expression=np.zeros((count, 1), np.float32),
        genes=["none"],
        image_px=manifest.backbone.image_px,
        coords=np.zeros((count, 2)),
        provenance={
            "kind": "patches of the unadapted backbone",
            "release": manifest.name,
            "weights_sha256": release.fingerprint,
            "seed": seed,
            "sampling": sampling.model_dump(mode="json", exclude={"batch"}),
        },
    ) as writer:
        if writer.done < len(writer):
            predict = unconditional(release.backbone().to(device))

            def make(numbers: range) -> npt.NDArray[np.uint8]:
                noise = seeded_noise(seed, numbers, manifest.backbone.image_px).to(device)
                pixels: npt.NDArray[np.uint8] = to_uint8(generate(predict, noise, manifest.diffusion, sampling)).cpu().numpy()
                return pixels

            _stream(writer, make, sampling.batch, progress, stop)
    return PairSet.open(folder)


def _stream(
    writer: PairWriter,
    make: Callable[[range], npt.NDArray[np.uint8]],
    batch: int,
    progress: Progress,
    stop: Callable[[], bool],
) -> None:
    progress.start("generating patches", len(writer), done=writer.done)
    while writer.done < len(writer):
        numbers = range(writer.done, min(writer.done + batch, len(writer)))
        writer.append(make(numbers))
        progress.advance(len(numbers))
        if stop() and writer.done < len(writer):
            raise Interrupted(f"Stopped after {writer.done} of {len(writer)} patches; the same command goes on.")

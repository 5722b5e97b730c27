"""The whole privacy measurement of a site: who is attacked, with what, and on how many spots."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from c2lst_client.adapted import Adapted
from c2lst_client.evaluate.embedding import Encoder, Features, built_in_encoder
from c2lst_client.evaluate.nuclei import Pixels
from c2lst_client.privacy.expression_privacy import measure_expression
from c2lst_client.privacy.groups import Rows, non_members, some
from c2lst_client.privacy.membership import NOISES, denoising_losses, measure_membership, time_steps
from c2lst_client.privacy.neighbours import Places, nearest_in_features, nearest_in_pixels
from c2lst_client.privacy.results import MembershipResult, NeighbourResult, PrivacyResult
from c2lst_client.privacy.roc import draws
from c2lst_client.spots.pairs import PairSet
from c2lst_shared.progress import Progress

MEASUREMENT = "privacy-1"  # another name makes results of an older form be measured again
MOST_DENOISED = 200  # spots on either side whose losses are measured: the costly part
MOST_ROWS = 1000  # spots on either side, and generated samples, for everything else


def measure_privacy(
    adapted: Adapted,
    pairs: PairSet,
    *,
    encoder: Encoder | None = None,
    progress: Progress,
    on_step: Callable[[], None] = lambda: None,
) -> PrivacyResult:
    """Attack a site's adapter and the pairs that it made.

    Args:
        adapted: the adapter with its spots.
        pairs: that it made.
        encoder: of patches, for distances between them; EfficientNet-lite0 when not given.
        progress: told of spots that are denoised and of patches that are compared.
        on_step: called now and then; it may raise `Interrupted`.

    Raises:
        BadInput: too few spots lie away from the training spots.
    """
    spots, split = adapted.spots, adapted.adaptation.split
    members, held_out = adapted.rows
    others = non_members(spots.centres, members, held_out, split.patch_um / spots.um_per_px)
    centres, expression = spots.centres, adapted.expression
    inside, outside = some(members, MOST_ROWS), some(others, MOST_ROWS)
    budget = adapted.adaptation.record.dp
    return PrivacyResult(
        pairs=pairs.fingerprint,
        adapter=adapted.adaptation.record.fingerprint,
        members=len(members),
        non_members=len(others),
        dp_epsilon=budget and budget.epsilon,
        dp_delta=budget and budget.delta,
        expression=measure_expression(
            pairs.expression,
            pairs.coords,
            expression[inside],
            expression[outside],
            draws(centres[inside], centres[outside]),
        ),
        membership=_membership(adapted, some(members, MOST_DENOISED), some(others, MOST_DENOISED), progress, on_step),
        neighbours=_neighbours(adapted, pairs, inside, outside, encoder or built_in_encoder(), progress, on_step),
    )


def _membership(
    adapted: Adapted, inside: Rows, outside: Rows, progress: Progress, on_step: Callable[[], None]
) -> MembershipResult:
    adaptation, diffusion = adapted.adaptation, adapted.release.manifest.diffusion
    drawn = draws(adapted.spots.centres[inside], adapted.spots.centres[outside])
    rows = np.concatenate([inside, outside])
    steps = time_steps(diffusion, adaptation.record.settings.training.noise_from)
    losses = denoising_losses(
        adaptation.attach(adapted.release),
        diffusion,
        adapted.spots.patches(rows),
        adapted.expression[rows],
        steps=steps,
        progress=progress,
        on_step=on_step,
    )
    return measure_membership(losses, len(inside), drawn, steps=steps, noises=NOISES)


def _neighbours(
    adapted: Adapted,
    pairs: PairSet,
    inside: Rows,
    outside: Rows,
    encode: Encoder,
    progress: Progress,
    on_step: Callable[[], None],
) -> list[NeighbourResult]:
    chosen = some(np.arange(len(pairs)), MOST_ROWS)
    centres, expression = adapted.spots.centres, adapted.expression
    places = Places(pairs.coords[chosen], centres[inside], centres[outside])
    sets = (pairs.patches(chosen), adapted.spots.patches(inside), adapted.spots.patches(outside))
    progress.start("comparing patches", sum(len(patches) for patches in sets))

    def embedded(patches: Pixels) -> Features:
        features = encode(patches)
        progress.advance(len(patches))
        on_step()
        return features

    found = [
        nearest_in_features("embedding", embedded(sets[0]), embedded(sets[1]), embedded(sets[2]), places),
        nearest_in_pixels(*sets, places),
        nearest_in_features("expression", pairs.expression[chosen], expression[inside], expression[outside], places),
    ]
    return [one.model_copy(update={"closest": _rows(one, chosen, inside, outside)}) for one in found]


def _rows(result: NeighbourResult, chosen: Rows, inside: Rows, outside: Rows) -> list[tuple[int, int, int]]:
    """The closest pairs as numbers of a synthetic pair, of a training and of a held-out spot, not of what was measured on."""
    return [(int(chosen[a]), int(inside[b]), int(outside[c])) for a, b, c in result.closest]

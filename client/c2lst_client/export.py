"""Export: the one way by which synthetic pairs are copied out of the state folder; asked for, told, and written down.

What says how a pair was mixed (which training spots, in what shares) stays behind. What the pairs give away all the same was
measured before (`privacy/`), and the rule of `privacy/export_rule.py` decides on it, where the policy lets pairs leave at all.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from c2lst_client.audit import AuditLog, Entry
from c2lst_client.export_spatialdata import require_spatialdata, write_store
from c2lst_client.privacy.export_rule import Decision, decide
from c2lst_client.privacy.results import PrivacyResult
from c2lst_client.rounds.policy import Policy
from c2lst_client.sites import Site
from c2lst_client.spots.pairs import PairSet, PairWriter
from c2lst_shared.errors import BadInput

BATCH = 64  # patches copied at a time
KIND = "synthetic pairs"  # the provenance of what `synthesise` makes
MIXED = "interpolated"  # the expression mode that repeats no observed row; any other, or none, counts as observed
OBSERVED_NEEDS = "--allow-observed"
UNCHECKED_NEEDS = "--without-privacy-check"

Format: TypeAlias = Literal["hest", "spatialdata"]


@dataclass(frozen=True)
class Export:
    """What is about to be copied, for the user to agree to."""

    site: str
    pairs: PairSet
    out: Path
    format: Format
    observed: bool  # whether the pairs carry the expression of real spots
    privacy: Decision | None  # what the rule says; None when privacy was not measured
    checked: bool  # whether the rule was asked

    def sentences(self) -> list[str]:
        """Say what will be written where."""
        expression = (
            "the OBSERVED expression of real spots" if self.observed else "expression mixed from several training spots"
        )
        count, side = f"{len(self.pairs):,}", self.pairs.image_px
        patches, genes = f"({count} patches of {side} x {side} px)", f"({len(self.pairs.genes)} genes)"
        holds = {
            "hest": f"patches.h5 {patches} and expression.h5ad {genes}.",
            "spatialdata": f"a SpatialData store with an image {patches}, circles and a table {genes}.",
        }
        return [
            f"{count} synthetic pairs of site {self.site} will be written to {self.out}:",
            holds[self.format],
            f"They carry {expression}, and places on the slide.",
            *self._about_privacy(),
        ]

    def _about_privacy(self) -> list[str]:
        if self.privacy is None:
            return ["How much they give away of the training spots was NOT measured: treat them as the data they come from."]
        told = (
            f"Export is {self.privacy.verdict} by the rule of docs/export.md{'' if self.checked else ', which was NOT asked'}:"
        )
        return [told, *self.privacy.reasons]


def plan_export(
    site: Site,
    out: Path,
    *,
    policy: Policy,
    format: Format = "hest",
    allow_observed: bool = False,
    without_privacy_check: bool = False,
) -> Export:
    """Look at a site's synthetic pairs and at the place where they shall go; nothing is written.

    Args:
        site: whose pairs.
        out: a folder that does not exist yet.
        policy: of the institution; what it forbids nothing below allows.
        format: the two files of HEST (`spots/pair_files.py`), or a SpatialData store (`export_spatialdata.py`).
        allow_observed: also export pairs whose expression is, or may be, a real spot's own.
        without_privacy_check: also export pairs whose privacy was not measured, or that the rule blocks.

    Raises:
        BadInput: the policy lets nothing leave, there are no complete pairs, `out` exists, the expression is observed and that
            was not allowed, privacy was not measured or the rule blocks the export, or what writes the format is not installed.
        BadArtefact: the pairs are damaged.
    """
    if policy.export == "never":
        raise BadInput(
            f"The policy of this institution lets no synthetic pairs leave, so those of site {site.name} stay; whoever answers "
            "for it changes that with `c2lst-client policy set --export allow`."
        )
    pairs = PairSet.open(site.synthetic)
    if pairs.provenance.get("kind") != KIND:
        raise BadInput(f"{site.synthetic} holds {pairs.provenance.get('kind')}; run `c2lst-client synthesise` first.")
    observed = pairs.provenance.get("expression") != MIXED
    if observed and not allow_observed:
        raise BadInput(
            f"The pairs of site {site.name} carry the observed expression of real spots; make them with "
            f"`c2lst-client synthesise --site {site.name} --expression {MIXED} --overwrite`, "
            f"or pass {OBSERVED_NEEDS} if it may leave."
        )
    if out.exists():
        raise BadInput(f"{out} exists, and nothing is overwritten; give a folder that does not exist yet.")
    if format == "spatialdata":
        require_spatialdata()
    decision = _decision(site, pairs, observed)
    if not without_privacy_check:
        _refuse_blocked(site, decision)
    return Export(site.name, pairs, out.absolute(), format, observed, decision, not without_privacy_check)


def write_export(export: Export, log: AuditLog) -> Path:
    """Copy the pairs to a new folder, which appears when it is complete and the audit log says so.

    Raises:
        BadInput: the folder cannot be written, or has come into being meanwhile.
        BadArtefact: the pairs are damaged, or the audit log ends in an incomplete line; nothing was exported.
    """
    try:
        export.out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=export.out.parent, prefix=f".{export.out.name}.", suffix=".part"))
    except OSError as error:
        raise BadInput(f"{export.out.parent} cannot be written ({error.strerror}); give another folder.") from None
    made = partial / "made"
    try:
        if export.format == "hest":
            _copy(export.pairs, _provenance(export), made)
        else:
            write_store(export.pairs, _provenance(export), made)
        made.chmod(0o700)  # for its owner, until they decide otherwise
        log.append(_entry(export, sum(path.stat().st_size for path in made.rglob("*") if path.is_file())))
        if export.out.exists():  # a folder without files would be replaced by a rename
            raise BadInput(f"{export.out} has come into being meanwhile; give a folder that does not exist yet.")
        made.rename(export.out)
    except OSError as error:
        raise BadInput(f"{export.out} cannot be written ({error.strerror}); give another folder.") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return export.out


def _decision(site: Site, pairs: PairSet, observed: bool) -> Decision | None:
    """What the rule says on these pairs; None when they were not measured, or others were."""
    try:
        result = PrivacyResult.model_validate_json((site.privacy / "result.json").read_bytes())
    except (OSError, ValueError):
        return None
    measured = result.pairs == pairs.fingerprint and result.adapter == pairs.provenance.get("adapter")
    return decide(result, observed_allowed=observed) if measured else None


def _refuse_blocked(site: Site, decision: Decision | None) -> None:
    if decision is None:
        raise BadInput(
            f"How much these pairs give away was not measured; run `c2lst-client privacy --site {site.name}` first, "
            f"or pass {UNCHECKED_NEEDS} if they may leave unmeasured."
        )
    if decision.verdict == "blocked":
        raise BadInput(
            f"Export is blocked: {' '.join(decision.reasons)} Make other pairs (docs/export.md says how), "
            f"or pass {UNCHECKED_NEEDS} if they may leave all the same."
        )


def _provenance(export: Export) -> dict[str, Any]:
    return export.pairs.provenance | {"exported_from": export.pairs.fingerprint}


def _copy(pairs: PairSet, provenance: dict[str, Any], folder: Path) -> None:
    with PairWriter(
        folder,
        barcodes=pairs.barcodes,
        expression=pairs.expression,
        genes=pairs.genes,
        image_px=pairs.image_px,
        coords=pairs.coords,
        provenance=provenance,
    ) as writer:
        while writer.done < len(writer):
            writer.append(pairs.patches(range(writer.done, min(writer.done + BATCH, len(writer)))))
        writer.finish()


def _entry(export: Export, size: int) -> Entry:
    return Entry(
        kind="export",
        method="COPY",
        path=str(export.out),
        bytes_out=size,
        bytes_in=0,
        message=KIND,
        content={
            "site": export.site,
            "format": export.format,
            "pairs": len(export.pairs),
            "fingerprint": export.pairs.fingerprint,
            "expression": export.pairs.provenance.get("expression"),
            "observed_allowed": export.observed,
            "privacy": export.privacy.verdict if export.privacy else "not measured",
            "privacy_checked": export.checked,
        },
    )

"""The site's journey, in order: release -> spots -> adapt -> synthesise -> evaluate -> cotrain -> privacy -> report.

Each step does what is missing before it, returns at once when its result is there, and goes on where it was stopped. The
arithmetic is in the modules named after the steps; here they are joined, and results are kept in the site's folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from c2lst_client.adapt import adapt, load_adaptation
from c2lst_client.adaptation_record import RECORD as ADAPTER_RECORD
from c2lst_client.adaptation_record import AdaptationRecord, AdaptationSettings
from c2lst_client.adapted import Adapted
from c2lst_client.cotrain import TRUTH, cotrain
from c2lst_client.cotrain_cells import CellFolder
from c2lst_client.dp_budget import DpTarget
from c2lst_client.evaluate.conditioning import measure_conditioning
from c2lst_client.evaluate.denoising import LEVELS, DenoisingResult, denoising_losses, measure_denoising
from c2lst_client.evaluate.results import ConditioningResult, CotrainResult, StepResult
from c2lst_client.expression_plan import ExpressionMode
from c2lst_client.options import AdaptOptions, SampleOptions, StudyOptions
from c2lst_client.predictions import write_predictions
from c2lst_client.privacy.measure import MEASUREMENT, measure_privacy
from c2lst_client.privacy.results import PrivacyResult
from c2lst_client.release import LoadedRelease
from c2lst_client.report.collect import collect
from c2lst_client.report.page import write_report
from c2lst_client.settings import Settings
from c2lst_client.sites import Site, open_site
from c2lst_client.spots.pair_files import stored_identity
from c2lst_client.spots.pairs import PairSet
from c2lst_client.spots.prepare import PreparedSpots, prepare_spots
from c2lst_client.study.design import check_design, fitted
from c2lst_client.study.page import save_figures, write_study_page
from c2lst_client.study.plan import StudyPlan, plan_study
from c2lst_client.study.results import StudyResult
from c2lst_client.study.side_by_side import make_side_by_side
from c2lst_client.study.study import run_study
from c2lst_client.study.tables import write_tables
from c2lst_client.study.workshop import Workshop
from c2lst_client.synthesise import synthesise, write_pairs
from c2lst_client.trust.pull import load_release, newest_here, pull
from c2lst_shared import atomic, journal
from c2lst_shared.canonical import fingerprint
from c2lst_shared.diffusion.hardware import best_device
from c2lst_shared.errors import BadInput, Interrupted
from c2lst_shared.presets import SamplingConfig
from c2lst_shared.progress import Progress
from c2lst_shared.release.targets import split_release

RESULT = "result.json"
PREDICTIONS = "predictions.npz"
PREDICTIONS_H5AD = "predictions.h5ad"
CELLS = "cells"
STUDY = "study.json"
STUDY_PAGE = "study.html"
DP_DELTA = 1e-3  # a tenth of what 100 training spots allow at most

Outcome = TypeVar("Outcome", bound=StepResult)


class Journey:
    """One site's way from a release to a report."""

    def __init__(self, settings: Settings, site: Site, *, progress: Progress, stop: Callable[[], bool]) -> None:
        self.site = site
        self._settings = settings
        self._home = settings.folders
        self._progress = progress
        self._stop = stop

    def release(self, name: str | None) -> LoadedRelease:
        """Load a release of the site's organ, verified: the named one, else the newest that is here; pulled when it is not."""
        organ = self.site.record.organ
        number = _release_number(name, organ) if name else newest_here(self._home, organ)
        if number is None or not self._home.release(organ, number).is_dir():
            number = pull(self._home, organ, number, self._progress, proxy=self._settings.proxy).manifest.number
        return LoadedRelease(*load_release(self._home, organ, number))

    def spots(self, release: LoadedRelease, *, overwrite: bool = False) -> PreparedSpots:
        """Read the site's spots, cut their patches and give them the release's colours."""
        manifest, site = release.manifest, self.site
        with journal.recorded("prepare spots", site.folder, belongs_to=release.fingerprint):
            return prepare_spots(
                site.read_spots(), manifest.backbone, manifest.stain, site.spots, self._progress, overwrite=overwrite
            )

    def adapt(self, options: AdaptOptions) -> Adapted:
        """Train the adapter, after everything that it needs."""
        earlier = AdaptationRecord.load(self.site.adapter / ADAPTER_RECORD) if self._has_adapter() else None
        release = self.release(options.release or (earlier.release if earlier else None))
        # without an adapter nothing depends on spots that were prepared for another release
        spots = self.spots(release, overwrite=options.overwrite or earlier is None)
        adaptation = adapt(
            self.site.adapter,
            release,
            spots,
            _adaptation_settings(options, earlier.settings if earlier else None, release),
            overwrite=options.overwrite,
            progress=self._progress,
            stop=self._stop,
        )
        return Adapted(release, spots, adaptation)

    def measure_backbone(self) -> DenoisingResult:
        """Measure the backbone, without the adapter, on all of the site's patches."""
        adapted = self.adapted()
        release, spots = adapted.release, adapted.spots
        made_from = fingerprint(release.fingerprint, spots.fingerprint, LEVELS)
        path = self.site.backbone / RESULT
        with journal.recorded("measure backbone", self.site.folder, belongs_to=made_from):
            earlier = _read(path, DenoisingResult)
            if earlier is not None and earlier.made_from == made_from:
                return earlier
            losses = denoising_losses(
                release.backbone(),
                spots.patches,
                len(spots),
                release.manifest.diffusion,
                progress=self._progress,
                on_chunk=self._interrupt_when_asked,
            )
            return _store(path, made_from, measure_denoising(losses, centres=spots.centres))

    def adapted(self) -> Adapted:
        """The adapter that is there with its release and spots, or one made with the defaults."""
        if not self._has_adapter():
            return self.adapt(AdaptOptions())
        adaptation = load_adaptation(self.site.adapter)
        return Adapted(self.release(adaptation.record.release), PreparedSpots.open(self.site.spots), adaptation)

    def synthesise(
        self, options: SampleOptions, *, per_spot: int | None = None, mode: ExpressionMode = "interpolated"
    ) -> PairSet:
        """Generate synthetic pairs from the training spots' expression."""
        adapted = self.adapted()
        defaults = adapted.release.manifest.defaults
        sampling = options.apply(defaults.sampling)
        per_spot = per_spot or max(defaults.predictor.ratios)
        made_from = fingerprint(adapted.adaptation.record, sampling, options.seed, per_spot, mode)
        with journal.recorded("synthesise", self.site.folder, belongs_to=made_from):
            return synthesise(
                self.site.synthetic,
                adapted.release,
                adapted.adaptation,
                adapted.spots,
                per_spot=per_spot,
                mode=mode,
                sampling=sampling,
                seed=options.seed,
                overwrite=options.overwrite or self._is_stale(adapted, self.site.synthetic),
                progress=self._progress,
                stop=self._stop,
            )

    def evaluate(self, options: SampleOptions) -> ConditioningResult:
        """Generate from the expression of the held-out spots and measure whether morphology follows it."""
        adapted = self.adapted()
        _, test_rows = adapted.rows
        sampling = options.apply(adapted.release.manifest.defaults.sampling)
        made_from = fingerprint(adapted.adaptation.record, sampling, options.seed)
        path = self.site.conditioning / RESULT
        with journal.recorded("evaluate", self.site.folder, belongs_to=made_from):
            pairs = write_pairs(
                self.site.conditioning,
                adapted.release,
                adapted.adaptation,
                adapted.expression[test_rows],
                barcodes=[adapted.spots.barcodes[row] for row in test_rows],
                coords=adapted.spots.centres[test_rows],
                obs={},
                sampling=sampling,
                seed=options.seed,
                provenance={"kind": "patches of held-out spots"},
                overwrite=options.overwrite or self._is_stale(adapted, self.site.conditioning),
                progress=self._progress,
                stop=self._stop,
            )
            earlier = _read(path, ConditioningResult)
            if earlier is not None and earlier.made_from == made_from:
                return earlier
            return _store(path, made_from, _measure(adapted, pairs, sampling))

    def cotrain(self, *, seeds: int | None = None, ratios: Sequence[int] | None = None) -> CotrainResult:
        """Train the predictor's arms on the real and the synthetic pairs and compare them on the held-out spots.

        Args:
            seeds: repeats of each arm; None keeps those of the result that is there, or else what the release suggests.
            ratios: synthetic pairs per real training spot, one arm each; None likewise.
        """
        adapted = self.adapted()
        pairs = PairSet.open(self.site.synthetic) if adapted.made(self.site.synthetic) else self.synthesise(SampleOptions())
        path = self.site.cotrain / RESULT
        earlier = _read(path, CotrainResult)
        suggested = adapted.release.manifest.defaults.predictor
        chosen = earlier or suggested
        config = suggested.model_copy(update={"seeds": seeds or chosen.seeds, "ratios": tuple(ratios or chosen.ratios)})
        made_from = fingerprint(adapted.adaptation.record, pairs.fingerprint, config)
        with journal.recorded("cotrain", self.site.folder, belongs_to=made_from):
            as_anndata = self.site.cotrain / PREDICTIONS_H5AD
            if earlier is not None and earlier.made_from == made_from and as_anndata.exists():
                return earlier
            train_rows, test_rows = adapted.rows
            result, predictions = cotrain(
                adapted.pairs(train_rows),
                adapted.pairs(test_rows),
                pairs,
                config,
                genes=list(adapted.adaptation.panel.genes),
                barcodes=[adapted.spots.barcodes[row] for row in test_rows],
                centres=adapted.spots.centres[test_rows],
                seed=adapted.adaptation.record.settings.seed,
                cells=CellFolder(self.site.cotrain / CELLS),
                progress=self._progress,
                on_step=self._interrupt_when_asked,
                device=best_device(),
            )
            with atomic.replacing(self.site.cotrain / PREDICTIONS) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **predictions)
            write_predictions(
                as_anndata,
                measured=predictions.pop(TRUTH),
                predictions=predictions,
                arm=result.primary.arm,
                barcodes=result.test_barcodes,
                genes=result.genes,
                centres=adapted.spots.centres[test_rows],
                provenance={
                    "kind": "predictions of held-out spots",
                    "release": adapted.release.manifest.name,
                    "adapter": adapted.adaptation.record.fingerprint,
                    "panel": adapted.adaptation.panel.fingerprint,
                    "pairs": pairs.fingerprint,
                    "predictor": config.model_dump(mode="json"),
                    "um_per_px": adapted.spots.um_per_px,
                },
            )
            return _store(path, made_from, result)

    def privacy(self) -> PrivacyResult:
        """Measure how much the adapter and the synthetic pairs give away of the training spots."""
        adapted = self.adapted()
        pairs = PairSet.open(self.site.synthetic) if adapted.made(self.site.synthetic) else self.synthesise(SampleOptions())
        path = self.site.privacy / RESULT
        made_from = fingerprint(adapted.adaptation.record, pairs.fingerprint, MEASUREMENT)
        earlier = _read(path, PrivacyResult)
        if earlier is not None and earlier.made_from == made_from:
            return earlier
        with journal.recorded("privacy", self.site.folder, belongs_to=made_from):
            measured = measure_privacy(adapted, pairs, progress=self._progress, on_step=self._interrupt_measuring_when_asked)
            return _store(path, made_from, measured)

    def report(self) -> Path:
        """Write the report on what was made, after making what is missing."""
        adapted = self.adapted()
        measured = _read(self.site.conditioning / RESULT, ConditioningResult)
        conditioning = measured if measured and adapted.made(self.site.conditioning) else self.evaluate(SampleOptions())
        cotrained = self.cotrain()
        with journal.recorded("report", self.site.folder):
            write_report(self.site.report, collect(self.site, adapted, conditioning, cotrained))
        return self.site.report

    def plan_study(self, options: StudyOptions) -> StudyPlan:
        """Count what a study still has to make."""
        return plan_study(self._workshop(options))

    def study(self, options: StudyOptions, say: Callable[[str], None]) -> StudyResult:
        """Run the study and write `study.json`, the tables and the page; what is there already is not made again."""
        workshop = self._workshop(options)
        if options.jobs > 1:
            opens = partial(_workshop_of, type(self), self._settings, self.site.name, options)
            make_side_by_side(workshop, opens, options.jobs, progress=self._progress, stop=self._stop)
        result, figures = run_study(workshop, self.site.name, say, encoder=options.encoder, hovernet=options.hovernet)
        atomic.write_text(self.site.study / STUDY, result.model_dump_json(indent=1))
        write_tables(self.site.study / "tables", result)
        write_study_page(self.study_page, result, save_figures(self.site.study / "figures", figures))
        return result

    @property
    def study_page(self) -> Path:
        """Where the study's page is."""
        return self.site.study / STUDY_PAGE

    def _workshop(self, options: StudyOptions) -> Workshop:
        earlier = AdaptationRecord.load(self.site.adapter / ADAPTER_RECORD) if self._has_adapter() else None
        release = self.release(options.release or (earlier.release if earlier else None))
        spots = self.spots(release, overwrite=earlier is None)
        design = options.design(release.manifest.defaults)
        design = design if options.fractions else fitted(design, len(spots))
        check_design(design, len(spots))
        return Workshop(
            self.site.study,
            release,
            spots,
            design,
            adapter=self.site.adapter,
            progress=self._progress,
            stop=self._stop,
        )

    def _interrupt_when_asked(self) -> None:
        if self._stop():
            raise Interrupted("Stopped; what is finished is kept, the same command goes on with the next part.")

    def _interrupt_measuring_when_asked(self) -> None:
        if self._stop():
            raise Interrupted("Stopped; the measurement takes minutes, and the same command begins it anew.")

    def _has_adapter(self) -> bool:
        return (self.site.adapter / ADAPTER_RECORD).exists()

    def _is_stale(self, adapted: Adapted, folder: Path) -> bool:
        """Whether the pairs in `folder`, finished or not, come from another adapter than the one that is here now."""
        stored = stored_identity(folder)
        return stored is not None and stored[1].get("adapter") != adapted.adaptation.record.fingerprint


def _workshop_of(
    journey: type[Journey], settings: Settings, site: str, options: StudyOptions, progress: Progress, stop: Callable[[], bool]
) -> Workshop:
    """Open the workshop of a study in another process than the one that holds the site."""
    return journey(settings, open_site(settings.folders, site), progress=progress, stop=stop)._workshop(options)


def _release_number(name: str, organ: str) -> int:
    """The number in a release's name such as `mob/1`."""
    given, number = split_release(name)
    if given != organ:
        raise BadInput(f"{name!r} is not a release for this site's organ; write it like {organ}/1.")
    return number


def _adaptation_settings(
    options: AdaptOptions, earlier: AdaptationSettings | None, release: LoadedRelease
) -> AdaptationSettings:
    """The user's choices over those of the adapter that is there, over what the release suggests."""
    defaults = release.manifest.defaults
    base = earlier or AdaptationSettings(
        fraction=0.25,
        method="random",
        seed=0,
        genes=defaults.genes,
        adapter=defaults.adapter,
        training=defaults.adaptation,
    )
    chosen: dict[str, object] = {
        "fraction": options.fraction,
        "method": options.split,
        "seed": options.seed,
        "genes": options.genes,
        "training": options.steps and base.training.model_copy(update={"steps": options.steps}),
    }
    changed = {name: value for name, value in chosen.items() if value is not None}
    return base.model_copy(update=changed | {"dp": _dp_target(options, base.dp)})


def _dp_target(options: AdaptOptions, earlier: DpTarget | None) -> DpTarget | None:
    """The differential privacy that is asked for; none when the user says 0."""
    epsilon = options.dp_epsilon if options.dp_epsilon is not None else earlier and earlier.epsilon
    delta = options.dp_delta or (earlier.delta if earlier else DP_DELTA)
    if not epsilon:
        if options.dp_delta:
            raise BadInput("--dp-delta alone asks for nothing; give --dp-epsilon too, for example 8.")
        return None
    return DpTarget(epsilon=epsilon, delta=delta)


def _measure(adapted: Adapted, pairs: PairSet, sampling: SamplingConfig) -> ConditioningResult:
    train_rows, test_rows = adapted.rows
    return measure_conditioning(
        adapted.tissue(train_rows),
        adapted.tissue(test_rows),
        pairs.patches(range(len(pairs)))[:, None],
        barcodes=pairs.barcodes,
        sampling=sampling,
        centres=adapted.spots.centres[test_rows],
    )


def _read(path: Path, kind: type[Outcome]) -> Outcome | None:
    """The result at `path`; a file of an older form counts as missing and is made again."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _store(path: Path, made_from: str, result: Outcome) -> Outcome:
    marked = result.model_copy(update={"made_from": made_from})
    atomic.write_text(path, marked.model_dump_json(indent=1))
    return marked

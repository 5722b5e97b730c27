"""Pretraining at the centre: a corpus becomes a run with averaged weights, sample grids, a loss curve and metrics.

runs/RUN/  corpus/  checkpoint.safetensors  samples/step_000500.png  curve.png  losses.json  weights.safetensors  run.json
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from c2lst_server.home import Home
from c2lst_server.runs import CHECKPOINT, CORPUS, RUN, SAMPLES_FOLDER, RunRecord, load_run, save_run
from c2lst_server.tiles.build import build_corpus, origin_of
from c2lst_server.tiles.corpus import Corpus, is_corpus
from c2lst_server.training.pictures import save_curve, save_grid
from c2lst_shared import atomic, checkpoint, journal, locking
from c2lst_shared.canonical import fingerprint
from c2lst_shared.diffusion.augment import StoredBatches
from c2lst_shared.diffusion.backbone import Backbone, build_backbone
from c2lst_shared.diffusion.sampler import generate, seeded_noise, to_uint8, unconditional
from c2lst_shared.diffusion.trainer import Trainer
from c2lst_shared.diffusion.workers import Workers
from c2lst_shared.errors import BadInput, Interrupted
from c2lst_shared.presets import Preset
from c2lst_shared.progress import Progress, Silent
from c2lst_shared.release.weights import save_weights

WEIGHTS = "weights.safetensors"
LOSSES = "losses.json"
CURVE = "curve.png"
SAMPLES_SHOWN = 16
VALIDATION_TILES = 256
SOFTWARE = ("c2lst", "torch", "diffusers", "staintools")


def train(
    home: Home,
    *,
    organ: str,
    images: Path,
    preset: Preset,
    run_id: str,
    um_per_px: float | None = None,
    overlap: float = 0.5,
    min_tissue: float = 0.5,
    seed: int = 0,
    quality_filter: bool = True,
    corpus_only: bool = False,
    corpus_workers: int = 1,
    progress: Progress | None = None,
    on_losses: Callable[[Sequence[float]], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    workers: Workers | None = None,
) -> RunRecord:
    """Build the corpus and pretrain; whatever an earlier call with the same settings finished is kept.

    Args:
        home: the server's state folder.
        organ: what the backbone is for, for example "mob".
        images: folder of H&E images, or a corpus that was built before (`c2lst-server tiles build`), which is used as it is.
        preset: model and training configuration.
        run_id: name of the run's folder.
        um_per_px: scale of the images, micrometres per pixel, where the files do not say.
        overlap: of neighbouring tiles, a fraction of their side.
        min_tissue: least fraction of tissue in a tile.
        seed: of weights, batches and noise.
        quality_filter: leave out tiles that are blurred, folded or marked with a pen.
        corpus_only: stop once the corpus is built.
        corpus_workers: processes that look at images and cut them.
        progress: where to say how far it is.
        on_losses: called after each step with the losses of all steps so far, those of earlier calls among them.
        stop: asked after each step; when true the state is saved and `Interrupted` raised.
        workers: the processes of this run; the first one builds the corpus and writes everything.

    Raises:
        BadInput: the images cannot be used, or the run exists with other settings.
        Busy: another process works on this run.
        Interrupted: stopped by `stop`; the same call resumes.
    """
    progress, workers = progress or Silent(), workers or Workers()
    folder = home.run(run_id)
    corpus = images if is_corpus(images) else folder / CORPUS
    message = f"Another process works on run {run_id!r}; wait until it is done, or stop it."
    with locking.locked(folder / ".lock", message) if workers.is_first else nullcontext():
        if workers.is_first and corpus != images:
            origin = origin_of(
                images,
                backbone=preset.backbone,
                organ=organ,
                um_per_px=um_per_px,
                overlap=overlap,
                min_tissue=min_tissue,
                quality_filter=quality_filter,
                seed=seed,
            )
            with journal.recorded("corpus", folder):
                build_corpus(origin, corpus, workers=corpus_workers, progress=progress)
        workers.wait()
        opened = Corpus.open(corpus)
        pretraining = _Pretraining(home, organ, opened, fitted_to(preset, opened, organ), run_id, seed, workers)
        return pretraining.record if corpus_only else pretraining.run(progress, on_losses, stop)


def fitted_to(preset: Preset, corpus: Corpus, organ: str) -> Preset:
    """Return the preset for tiles that show as much tissue as those of the corpus.

    Raises:
        BadInput: the corpus is of another organ, or its tiles have another number of pixels.
    """
    if corpus.record.organ not in (None, organ):
        raise BadInput(
            f"{corpus.folder} is a corpus of {corpus.record.organ}, not of {organ}; pass the right one with --images."
        )
    settings = corpus.record.settings
    if settings.image_px != preset.backbone.image_px:
        raise BadInput(
            f"{corpus.folder} has tiles of {settings.image_px} px, but preset {preset.name} wants {preset.backbone.image_px}; "
            f"build it again with tiles build --preset {preset.name}."
        )
    return preset.model_copy(update={"backbone": preset.backbone.model_copy(update={"patch_um": settings.patch_um})})


class _Pretraining:
    """One run of the trainer over a corpus, with what it writes on the way."""

    def __init__(
        self, home: Home, organ: str, corpus: Corpus, preset: Preset, run_id: str, seed: int, workers: Workers
    ) -> None:
        self.home = home
        self.workers = workers
        self.folder = home.run(run_id)
        self.preset = preset
        self.corpus = corpus
        self.belongs_to = fingerprint(
            preset.backbone, preset.diffusion, preset.pretraining, organ, seed, corpus.record.fingerprint
        )
        self.record = RunRecord(
            run_id=run_id,
            organ=organ,
            preset=preset.name,
            state="training",
            started=datetime.now(UTC),
            backbone=preset.backbone,
            diffusion=preset.diffusion,
            stain=corpus.record.stain,
            training=preset.pretraining,
            seed=seed,
            images=len(corpus.record.slides),
            tiles=len(corpus.tiles),
            software={name: version(name) for name in SOFTWARE},
        )
        self.validation: dict[int, float] = {}

    def run(self, progress: Progress, on_losses: Callable[[Sequence[float]], None], stop: Callable[[], bool]) -> RunRecord:
        earlier = self._earlier()
        if earlier is not None and earlier.state == "finished":
            return earlier
        config = self.preset.pretraining
        backbone = build_backbone(self.preset.backbone, seed=self.record.seed)
        trainer = Trainer(
            backbone,
            StoredBatches(self.corpus.tiles, self.corpus.train_indices),
            self.preset.diffusion,
            config,
            seed=self.record.seed,
            device=self.workers.device,
            workers=self.workers,
        )
        stored = checkpoint.load(self.folder / CHECKPOINT, belongs_to=self.belongs_to)
        if stored is not None:
            trainer.load_state(stored)
            self.validation = {int(k): v for k, v in json.loads((self.folder / LOSSES).read_text())["validation"].items()}
        self.workers.wait()  # until all have read what the first one is about to replace
        if not self.workers.is_first:
            return self._follow(trainer, stop)
        save_run(self.home, self.record.model_copy(update={"steps_done": trainer.step}))
        progress.start("pretraining", config.steps, done=trainer.step)

        def save() -> None:
            # losses first: a checkpoint is never newer than the validation record beside it
            self._save_losses(trainer)
            checkpoint.save(self.folder / CHECKPOINT, trainer.state(), belongs_to=self.belongs_to)

        def on_step(trainer: Trainer) -> None:
            on_losses(trainer.losses)
            progress.advance(1, f"loss {np.mean(trainer.losses[-20:]):.4f}")
            if trainer.step % config.sample_every == 0 or trainer.step == config.steps:
                self._show(trainer, backbone)
            if trainer.step % config.checkpoint_every == 0:
                save()

        with journal.recorded("pretrain", self.folder, belongs_to=self.belongs_to):
            finished = trainer.train(on_step, stop)
            save()
        return self._finish(trainer, backbone) if finished else self._stopped(trainer)

    def _follow(self, trainer: Trainer, stop: Callable[[], bool]) -> RunRecord:
        """Take every step of the run and leave writing to the first process."""
        if not trainer.train(lambda _: None, stop):
            raise Interrupted(f"Stopped at step {trainer.step}.")
        return self.record.model_copy(update={"steps_done": trainer.step})

    def _earlier(self) -> RunRecord | None:
        """The record of an earlier call; another organ, preset, corpus or seed under the same name is refused."""
        if not (self.folder / RUN).exists():
            return None
        earlier = load_run(self.home, self.record.run_id)
        same = ("organ", "preset", "backbone", "diffusion", "training", "seed", "stain", "images", "tiles")
        changed = [name for name in same if getattr(earlier, name) != getattr(self.record, name)]
        if changed:
            raise BadInput(
                f"Run {earlier.run_id!r} exists with another {', '.join(changed)}; give this one a new name with --run, "
                f"or delete {self.folder}."
            )
        self.record = self.record.model_copy(update={"started": earlier.started})
        return earlier

    def _show(self, trainer: Trainer, backbone: Backbone) -> None:
        """Write a sample grid and the curve, and measure the validation loss, all with the averaged weights."""
        held_out = StoredBatches(self.corpus.tiles, self.corpus.validation_indices, augment=False)
        with trainer.averaged():
            size = min(trainer.config.micro_batch, VALIDATION_TILES)
            self.validation[trainer.step] = trainer.validation_loss(held_out, size=size, count=VALIDATION_TILES // size)
            noise = seeded_noise(self.record.seed, range(SAMPLES_SHOWN), self.preset.backbone.image_px)
            samples = generate(unconditional(backbone), noise.to(trainer.device), self.preset.diffusion, self.preset.sampling)
        save_grid(self.folder / SAMPLES_FOLDER / f"step_{trainer.step:06}.png", to_uint8(samples).cpu().numpy())
        save_curve(self.folder / CURVE, trainer.losses, self.validation)

    def _save_losses(self, trainer: Trainer) -> None:
        content = {"training": trainer.losses, "validation": self.validation}
        atomic.write_text(self.folder / LOSSES, json.dumps(content))

    def _finish(self, trainer: Trainer, backbone: Backbone) -> RunRecord:
        with trainer.averaged():
            save_weights(self.folder / WEIGHTS, backbone.state_dict())
        last = trainer.losses[-max(1, trainer.config.steps // 20) :]
        metrics = {"validation_loss": self.validation[trainer.step], "training_loss": float(np.mean(last))}
        record = self.record.model_copy(
            update={"state": "finished", "finished": datetime.now(UTC), "steps_done": trainer.step, "metrics": metrics}
        )
        save_run(self.home, record)
        return record

    def _stopped(self, trainer: Trainer) -> RunRecord:
        save_run(self.home, self.record.model_copy(update={"state": "stopped", "steps_done": trainer.step}))
        raise Interrupted(
            f"Stopped at step {trainer.step} of {trainer.config.steps}; all is saved, the same command goes on from there."
        )

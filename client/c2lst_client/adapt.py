"""Adaptation: with the backbone frozen, train projection and FiLM heads on the training spots.

adapter/  config.json  diffusion_pytorch_model.safetensors  panel.json  split.json  record.json  losses.json
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from c2lst_client.adaptation_record import PANEL, RECORD, SPLIT, AdaptationRecord, AdaptationSettings
from c2lst_client.dp_budget import plan_budget
from c2lst_client.release import LoadedRelease
from c2lst_client.spots.panel import Panel, fit_panel
from c2lst_client.spots.prepare import PreparedSpots
from c2lst_client.spots.split import Split, split_spots
from c2lst_shared import atomic, checkpoint, journal
from c2lst_shared.diffusion.augment import StoredBatches
from c2lst_shared.diffusion.film import AdaptedBackbone, Adapter, build_adapter
from c2lst_shared.diffusion.hardware import best_device
from c2lst_shared.diffusion.private_trainer import Mechanism, PrivateTrainer
from c2lst_shared.diffusion.trainer import Trainer
from c2lst_shared.errors import BadArtefact, BadInput, Interrupted
from c2lst_shared.progress import Progress

LOSSES = "losses.json"


@dataclass(frozen=True)
class Adaptation:
    """A trained adapter with everything that its use needs."""

    adapter: Adapter
    panel: Panel
    split: Split
    record: AdaptationRecord
    losses: list[float]

    def attach(self, release: LoadedRelease) -> AdaptedBackbone:
        """Put the adapter on the release's backbone, ready to generate.

        Raises:
            BadArtefact: it belongs to another release or panel.
        """
        self.adapter.check_panel(self.panel.fingerprint)
        adapted = AdaptedBackbone(release.backbone(), self.adapter, backbone_fingerprint=release.fingerprint)
        return adapted.to(best_device())


def adapt(
    folder: Path,
    release: LoadedRelease,
    spots: PreparedSpots,
    settings: AdaptationSettings,
    *,
    overwrite: bool,
    progress: Progress,
    stop: Callable[[], bool],
) -> Adaptation:
    """Train an adapter into `folder`; one that is there with the same inputs is returned as it is.

    Raises:
        BadInput: the folder holds an adapter of other inputs and `overwrite` is false.
        Interrupted: stopped; the same call goes on from the last checkpoint.
    """
    split = split_spots(spots, release.manifest.backbone.patch_um, settings.fraction, settings.method, settings.seed)
    train_rows, _ = split.rows(spots.barcodes)
    panel = fit_panel(spots, train_rows, settings.genes)
    record = AdaptationRecord(
        release=release.manifest.name,
        weights_sha256=release.fingerprint,
        spots=spots.fingerprint,
        panel=panel.fingerprint,
        split=split.fingerprint,
        settings=settings,
        dp=plan_budget(settings.dp, len(train_rows), settings.training) if settings.dp else None,
    )
    if (folder / RECORD).exists():
        if AdaptationRecord.load(folder / RECORD) == record:
            return load_adaptation(folder)
        if not overwrite:
            changed = _difference(AdaptationRecord.load(folder / RECORD), record)
            raise BadInput(f"{folder} holds an adapter made otherwise (differs: {changed}); replace it with --overwrite.")
    partial = folder.with_name(folder.name + ".part")
    condition = torch.from_numpy(panel.transform(spots.counts, spots.genes))
    adapter = build_adapter(
        release.backbone(),
        condition_dim=len(panel.genes),
        hidden_dim=settings.adapter.hidden_dim,
        blocks=settings.adapter.blocks,
        backbone_fingerprint=release.fingerprint,
        panel_fingerprint=panel.fingerprint,
        seed=settings.seed,
    )
    adapted = AdaptedBackbone(release.backbone(), adapter, backbone_fingerprint=release.fingerprint)
    stored = StoredBatches(spots.patches(range(len(spots))), train_rows, condition)
    trainer = _trainer(adapted, stored, release, record)
    _train(trainer, partial / "checkpoint.safetensors", record.fingerprint, folder.parent, progress, stop)
    with trainer.averaged():
        adapter.save_pretrained(partial)
    panel.save(partial / PANEL)
    split.save(partial / SPLIT)
    atomic.write_text(partial / LOSSES, json.dumps(trainer.losses))
    record.save(partial / RECORD)
    (partial / "checkpoint.safetensors").unlink()
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)
    return load_adaptation(folder)


def load_adaptation(folder: Path) -> Adaptation:
    """Read a finished adapter.

    Raises:
        BadInput: there is none.
        BadArtefact: its files are damaged or do not belong together.
    """
    record = AdaptationRecord.load(folder / RECORD)
    panel, split = Panel.load(folder / PANEL), Split.load(folder / SPLIT)
    if (panel.fingerprint, split.fingerprint) != (record.panel, record.split):
        raise BadArtefact(f"The files in {folder} do not belong together; run `c2lst-client adapt --overwrite`.")
    try:
        adapter = Adapter.from_pretrained(folder, local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False)
        losses = json.loads((folder / LOSSES).read_text())
    except (OSError, ValueError, RuntimeError) as error:
        raise BadArtefact(f"The adapter in {folder} is damaged ({error}); run `c2lst-client adapt --overwrite`.") from None
    return Adaptation(adapter, panel, split, record, losses)


def _trainer(adapted: AdaptedBackbone, spots: StoredBatches, release: LoadedRelease, record: AdaptationRecord) -> Trainer:
    diffusion, settings, device = release.manifest.diffusion, record.settings, best_device()
    if record.dp is None:
        return Trainer(adapted, spots, diffusion, settings.training, seed=settings.seed, device=device)
    mechanism = Mechanism(record.dp.noise_multiplier, record.dp.sample_rate, record.dp.clip_norm)
    return PrivateTrainer(adapted, spots, diffusion, settings.training, mechanism=mechanism, device=device)


def _train(
    trainer: Trainer, path: Path, belongs_to: str, journal_folder: Path, progress: Progress, stop: Callable[[], bool]
) -> None:
    """Train to the end, saving on the way; an earlier checkpoint of the same inputs is continued."""
    stored = checkpoint.load(path, belongs_to=belongs_to)
    if stored is not None:
        trainer.load_state(stored)
    config = trainer.config
    progress.start("adapting", config.steps, done=trainer.step)

    def save() -> None:
        checkpoint.save(path, trainer.state(), belongs_to=belongs_to)

    def on_step(trainer: Trainer) -> None:
        recent = trainer.losses[-20:]
        progress.advance(1, f"loss {sum(recent) / len(recent):.4f}")
        if trainer.step % config.checkpoint_every == 0:
            save()

    with journal.recorded("adapt", journal_folder, belongs_to=belongs_to):
        finished = trainer.train(on_step, stop)
        save()
        if not finished:
            raise Interrupted(f"Stopped at step {trainer.step} of {config.steps}; all is saved, the same command goes on.")


def _difference(stored: AdaptationRecord, asked: AdaptationRecord) -> str:
    names = [name for name in AdaptationRecord.model_fields if getattr(stored, name) != getattr(asked, name)]
    if "settings" in names:
        names.remove("settings")
        names += [
            name for name in AdaptationSettings.model_fields if getattr(stored.settings, name) != getattr(asked.settings, name)
        ]
    return ", ".join(names)

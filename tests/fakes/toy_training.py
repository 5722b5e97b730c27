"""Trainings of a toy preset, slow enough to be disturbed.

`toy_training.py HOME TRAINING OWNER PACE` is the process of one, `toy_training.py trainer HOME PACE [once]` a trainer,
`toy_training.py command ...` is `c2lst-server ...` that knows the preset.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from c2lst_server.settings import Settings
from c2lst_server.trainings.pace import Pace
from c2lst_server.trainings.trainer import Event, work
from c2lst_shared.presets import PRESETS, BackboneConfig, SamplingConfig, TrainingConfig
from c2lst_shared.stopping import stop_on_signal

MODULE = "fakes.toy_training"
PAUSE = "C2LST_TOY_PAUSE"  # seconds after each step
DIES_AT = "C2LST_TOY_DIES_AT"  # step in which it kills itself, each time
STEPS = 60
TOY = PRESETS["tiny"].model_copy(
    update={
        "name": "toy",
        "backbone": BackboneConfig(
            image_px=16,
            patch_um=176,
            unshuffle=2,
            block_channels=(8, 8),
            layers_per_block=1,
            norm_groups=4,
            attention_head_dim=8,
        ),
        "pretraining": TrainingConfig(steps=STEPS, micro_batch=4, learning_rate=1e-3, checkpoint_every=5, sample_every=100),
        "sampling": SamplingConfig(steps=2),
    }
)


def trainer(home: str, pace: str, once: bool) -> None:
    """Work on toy trainings; print each event."""

    def report(event: Event) -> None:
        sys.stdout.write(event.model_dump_json() + "\n")
        sys.stdout.flush()

    settings = Settings().model_copy(update={"home": Path(home)})
    with stop_on_signal() as stop:
        work(settings, stop, once=once, pace=Pace.model_validate_json(pace), report=report, module=MODULE)


def main(words: list[str]) -> int:
    """Be a trainer, or the process of one training."""
    PRESETS["toy"] = TOY
    logging.basicConfig(level=logging.INFO)
    if words[0] == "trainer":
        trainer(words[1], words[2], "once" in words)
        return 0
    if words[0] == "command":
        from c2lst_server.cli import app

        app(words[1:])
        return 0
    import torch

    from c2lst_server.trainings.job import main as run_job
    from c2lst_server.trainings.reporter import Reporter

    torch.set_num_threads(1)

    class SlowReporter(Reporter):
        """Takes its time after each step, and dies where it is told to."""

        def on_losses(self, losses: Sequence[float]) -> None:
            super().on_losses(losses)
            time.sleep(float(os.environ.get(PAUSE, "0")))
            if len(losses) == int(os.environ.get(DIES_AT, "0")):
                os.kill(os.getpid(), signal.SIGKILL)

    return run_job(words, SlowReporter)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

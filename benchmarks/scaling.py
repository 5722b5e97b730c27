"""Central training over several processes with accelerate: images per second of one and of two processes.

    python benchmarks/scaling.py [--preset small] [--batch 32] [--steps 4] [--repeats 3] [--json]

On a machine without cards each process has one thread, so that two of them have twice the cores of one; one process with two
threads is what they have to beat there. The batch is that of a step, divided among the processes.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys

import networks
import paired
import torch

from c2lst_shared.diffusion.backbone import build_backbone
from c2lst_shared.diffusion.trainer import Trainer
from c2lst_shared.diffusion.workers import join_workers


def training(processes: int, threads: int) -> paired.Prepare:
    def prepare(given: argparse.Namespace) -> paired.Work:
        if processes > 1 and "RANK" not in os.environ:
            start_others(processes)
        workers = join_workers()
        torch.set_num_threads(threads)  # after accelerate, which sets it too
        preset = networks.preset_at(given.preset, None)
        config = preset.pretraining.model_copy(update={"accumulation": 1, "steps": 10**6, "micro_batch": given.batch})
        network, batches = build_backbone(preset.backbone, seed=0), networks.tiles(preset.backbone.image_px)
        trainer = Trainer(network, batches, preset.diffusion, config, seed=0, device=workers.device, workers=workers)

        def work() -> int:
            networks.advance(trainer, given.steps)
            return given.steps * given.batch

        return work

    return prepare


def start_others(processes: int) -> None:
    """Become the first of `processes` and start the others: this command again, each with its rank, as a launcher does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ.update(world, WORLD_SIZE=str(processes), LOCAL_WORLD_SIZE=str(processes))
    for rank in range(1, processes):
        ranked = os.environ | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        subprocess.Popen([sys.executable, *sys.argv], env=ranked, stdout=subprocess.DEVNULL)
    os.environ.update(RANK="0", LOCAL_RANK="0")


CASES: dict[str, paired.Prepare] = {
    "1 process, 1 thread": training(1, 1),
    "2 processes, 1 thread each": training(2, 1),
    "1 process, 2 threads": training(1, 2),
}

if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--preset", default="small")
    arguments.add_argument("--batch", type=int, default=32)
    arguments.add_argument("--steps", type=int, default=4, help="steps of one timing")
    paired.main("scaling of central training", CASES, "images", arguments, __file__)

"""One trainer for both stages: it learns, resumes to the same curve, and keeps a moving average."""

import numpy as np
import pytest
import torch

from c2lst_shared.checkpoint import load, save
from c2lst_shared.diffusion.augment import StoredBatches, dihedral, to_unit
from c2lst_shared.diffusion.backbone import build_backbone
from c2lst_shared.diffusion.hardware import autocast
from c2lst_shared.diffusion.schedule import NoiseSchedule
from c2lst_shared.diffusion.trainer import Trainer, learning_rate
from c2lst_shared.errors import BadArtefact, C2lstError
from c2lst_shared.presets import BackboneConfig, DiffusionConfig, TrainingConfig

CONFIG = BackboneConfig(
    image_px=8, patch_um=22, unshuffle=2, block_channels=(8, 8), layers_per_block=1, norm_groups=4, attention_head_dim=8
)
TRAINING = TrainingConfig(steps=6, micro_batch=4, accumulation=2, learning_rate=3e-3, warmup_fraction=0.5, ema_decay=0.5)


def trainer(config=TRAINING, pixels=None):
    pixels = np.random.default_rng(0).integers(0, 255, (10, 8, 8, 3), dtype=np.uint8) if pixels is None else pixels
    batches = StoredBatches(pixels, np.arange(len(pixels)))
    return Trainer(build_backbone(CONFIG, seed=0), batches, DiffusionConfig(), config, seed=1)


def ignore(_):
    pass


def test_training_lowers_the_loss():
    config = TRAINING.model_copy(update={"steps": 150, "micro_batch": 16, "accumulation": 1, "learning_rate": 1e-2})
    run = trainer(config, np.full((4, 8, 8, 3), 200, np.uint8))
    run.train(ignore)
    assert np.mean(run.losses[-30:]) < 0.5 * np.mean(run.losses[:5])


def test_resumed_run_follows_the_same_curve(tmp_path):
    straight = trainer()
    straight.train(ignore)
    stopped = trainer()
    assert not stopped.train(ignore, stop=lambda: stopped.step == 3)
    save(tmp_path / "c.safetensors", stopped.state(), belongs_to="x")
    resumed = trainer()
    resumed.load_state(load(tmp_path / "c.safetensors", belongs_to="x"))
    assert resumed.step == 3
    assert resumed.train(ignore)
    assert resumed.losses == straight.losses
    for name, tensor in straight.state().items():
        assert torch.equal(tensor, resumed.state()[name]), name


def test_average_is_in_the_network_only_inside_the_block():
    run = trainer()
    run.train(ignore)
    state = {name: tensor.clone() for name, tensor in run.state().items()}
    name = next(name for name in state if name.startswith("weight."))
    bare = name.removeprefix("weight.")
    assert torch.equal(run.network.state_dict()[bare], state[name])
    with run.averaged():
        assert torch.equal(run.network.state_dict()[bare], state[f"average.{bare}"])
        assert not torch.equal(state[f"average.{bare}"], state[name])
    assert torch.equal(run.network.state_dict()[bare], run.state()[name])


def test_validation_loss_repeats():
    run = trainer()
    batches = StoredBatches(np.full((4, 8, 8, 3), 9, np.uint8), np.arange(4), augment=False)
    first = run.validation_loss(batches, size=4, count=3)
    assert first == run.validation_loss(batches, size=4, count=3)
    assert first > 0


def test_time_steps_and_weights_are_those_of_the_configuration():
    seen = []

    class Recorder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(1))

        def forward(self, x, t):
            seen.append(t)
            return 0 * x * self.scale  # so the loss is the weighted square of the target

    losses = {}
    for weighting in ("min_snr", "uniform"):
        config = TRAINING.model_copy(
            update={"steps": 1, "accumulation": 1, "micro_batch": 500, "noise_from": 0.4, "weighting": weighting}
        )
        batches = StoredBatches(np.full((4, 8, 8, 3), 255, np.uint8), np.arange(4))
        run = Trainer(Recorder(), batches, DiffusionConfig(), config, seed=1)
        run.train(ignore)
        losses[weighting] = run.losses[0]
    assert torch.equal(*seen)
    assert 400 <= seen[0].min() < 410
    assert seen[0].max() > 990
    assert losses["uniform"] == pytest.approx(1.0, abs=0.05)  # all-white patches: the velocity has mean square 1
    weight = NoiseSchedule(DiffusionConfig()).weight(seen[0])
    assert losses["min_snr"] == pytest.approx(float(weight.mean()), rel=0.05)


def test_diverged_training_says_so():
    broken = trainer()
    for parameter in broken.network.parameters():
        parameter.data.fill_(float("nan"))
    with pytest.raises(C2lstError, match="diverged at step 0"):
        broken.train(ignore)


def test_gradient_that_is_no_number_leaves_the_weights_alone():
    broken = trainer()
    first = next(broken.network.parameters())
    first.register_hook(lambda gradient: gradient * float("nan"))
    before = {name: tensor.clone() for name, tensor in broken.network.state_dict().items()}
    with pytest.raises(C2lstError, match=r"diverged at step 0 \(the loss is \d.*norm of its gradient nan"):
        broken.train(ignore)
    for name, tensor in broken.network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_attention_never_takes_cudnns_kernel_whose_gradients_can_be_nan():
    assert torch.backends.cuda.cudnn_sdp_enabled()
    with autocast(torch.device("cpu")):
        assert not torch.backends.cuda.cudnn_sdp_enabled()
        assert torch.backends.cuda.flash_sdp_enabled()
        assert torch.backends.cuda.mem_efficient_sdp_enabled()
    assert torch.backends.cuda.cudnn_sdp_enabled()


def test_checkpoint_of_other_settings_is_not_used(tmp_path):
    save(tmp_path / "c.safetensors", trainer().state(), belongs_to="x")
    assert load(tmp_path / "c.safetensors", belongs_to="y") is None
    assert load(tmp_path / "none.safetensors", belongs_to="y") is None


def test_damaged_checkpoint_is_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    save(path, trainer().state(), belongs_to="x")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(BadArtefact, match="damaged"):
        load(path, belongs_to="x")


def test_learning_rate_warms_up_and_decays():
    config = TrainingConfig(steps=100, micro_batch=1, learning_rate=1.0, warmup_fraction=0.1, decay_fraction=0.2)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10] == rates[79] == 1.0
    assert rates[90] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.05)


def test_dihedral_gives_all_eight_symmetries_and_nothing_else():
    patch = torch.arange(4.0).reshape(1, 1, 2, 2)
    turned = dihedral(patch.expand(400, 1, 2, 2), torch.Generator().manual_seed(0))
    assert len({tuple(each.flatten().tolist()) for each in turned}) == 8
    assert all(sorted(each.flatten().tolist()) == [0, 1, 2, 3] for each in turned)


def test_stored_batches_keep_pixels_and_conditions_together():
    pixels = np.stack([np.full((8, 8, 3), value, np.uint8) for value in range(0, 250, 10)])
    condition = to_unit(pixels).mean((1, 2, 3))[:, None]
    batch = StoredBatches(pixels, np.array([1, 5, 7]), condition)(32, torch.Generator().manual_seed(0))
    torch.testing.assert_close(batch.images.mean((1, 2, 3))[:, None], batch.condition)
    assert len(batch.condition.unique()) == 3

"""Pretraining: what a run leaves behind, that it resumes, and that a name is not reused for something else."""

import json

import numpy as np
import pytest
from fakes.small_site import SmallSite, h_and_e
from PIL import Image

from c2lst_server.home import Home
from c2lst_server.runs import load_run
from c2lst_server.training.pretrain import train
from c2lst_shared import journal
from c2lst_shared.errors import BadInput, Interrupted
from c2lst_shared.presets import PRESETS, BackboneConfig, SamplingConfig, TrainingConfig
from c2lst_shared.release.weights import read_specs

TOY = PRESETS["tiny"].model_copy(
    update={
        "backbone": BackboneConfig(
            image_px=16,
            patch_um=176,
            unshuffle=2,
            block_channels=(8, 16),
            layers_per_block=1,
            norm_groups=4,
            attention_head_dim=8,
        ),
        "pretraining": TrainingConfig(steps=6, micro_batch=4, learning_rate=1e-3, checkpoint_every=2, sample_every=3),
        "sampling": SamplingConfig(steps=2),
    }
)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("central")
    for seed in range(3):
        SmallSite(pixels=h_and_e(seed), name=f"slide{seed}").write_image(folder)
    return folder


def run(home, images, *, preset=TOY, stop=lambda: False, **changes):
    return train(Home(home), organ="mob", images=images, preset=preset, run_id="r", um_per_px=2.75, stop=stop, **changes)


def stop_after(steps: int):
    asked = iter(range(1, 1000))
    return lambda: next(asked) >= steps


def losses(home):
    return json.loads((home / "runs" / "r" / "losses.json").read_text())


def test_run_leaves_weights_pictures_and_a_record(tmp_path, images):
    record = run(tmp_path, images)
    folder = tmp_path / "runs" / "r"
    assert record.state == "finished"
    assert record.steps_done == 6
    assert record.images == 3
    assert 0 < record.metrics["validation_loss"] < 5
    assert load_run(Home(tmp_path), "r") == record
    assert sorted(path.name for path in (folder / "samples").iterdir()) == ["step_000003.png", "step_000006.png"]
    with Image.open(folder / "curve.png") as curve:
        assert np.asarray(curve).std() > 0
    assert read_specs(folder / "weights.safetensors")["unet.conv_in.weight"].shape == (8, 12, 3, 3)
    assert [entry.step for entry in journal.read(folder).entries] == ["corpus", "pretrain"]


def test_stopped_run_resumes_to_the_same_losses_and_weights(tmp_path, images):
    run(tmp_path / "a", images)
    with pytest.raises(Interrupted, match="step 3 of 6"):
        run(tmp_path / "b", images, stop=stop_after(3))
    assert load_run(Home(tmp_path / "b"), "r").state == "stopped"
    run(tmp_path / "b", images)
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    weights = [(tmp_path / name / "runs" / "r" / "weights.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]


def test_finished_run_is_returned_as_it_is(tmp_path, images):
    first = run(tmp_path, images)
    assert run(tmp_path, images) == first


def test_name_of_a_run_is_not_reused_for_other_settings(tmp_path, images):
    run(tmp_path, images)
    with pytest.raises(BadInput, match=r"exists with another seed.*; give this one a new name with --run"):
        run(tmp_path, images, seed=1)


def test_dry_run_builds_the_corpus_alone(tmp_path, images):
    record = run(tmp_path, images, corpus_only=True)
    assert record.tiles > 100
    assert not (tmp_path / "runs" / "r" / "weights.safetensors").exists()


def test_folder_without_images_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no image"):
        run(tmp_path / "home", tmp_path / "empty")

"""Adaptation keeps the backbone's bytes, resumes where it was stopped, and never replaces an adapter unasked."""

from pathlib import Path

import pytest
import torch
from fakes.small_site import SmallSite
from fakes.toy_release import DEFAULTS, toy_release

from c2lst_client.adapt import AdaptationSettings, adapt, load_adaptation
from c2lst_client.spots.prepare import prepare_spots
from c2lst_client.spots.read import read_spots
from c2lst_shared.errors import BadArtefact, BadInput, Interrupted
from c2lst_shared.progress import Silent

SETTINGS = AdaptationSettings(
    fraction=0.5, method="random", seed=3, genes=6, adapter=DEFAULTS.adapter, training=DEFAULTS.adaptation
)


@pytest.fixture(scope="module")
def spots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    release = toy_release()
    found = read_spots(SmallSite().write_legacy(folder / "raw"))
    return prepare_spots(found, release.manifest.backbone, release.manifest.stain, folder / "spots")


def run(folder: Path, spots, settings=SETTINGS, release=None, *, overwrite=False, stop=lambda: False):
    return adapt(
        folder / "adapter", release or toy_release(), spots, settings, overwrite=overwrite, progress=Silent(), stop=stop
    )


def stop_after(steps: int):
    asked = iter(range(1, 1000))
    return lambda: next(asked) >= steps


def weights(adaptation):
    return adaptation.adapter.state_dict()


def test_backbone_keeps_its_bytes_and_the_adapter_learns(tmp_path, spots):
    release = toy_release()
    before = {name: tensor.clone() for name, tensor in release.tensors.items()}
    made = run(tmp_path, spots)
    assert all(torch.equal(before[name], tensor) for name, tensor in release.tensors.items())
    assert max(float(head.weight.detach().abs().max()) for head in made.adapter.heads) > 0
    assert len(made.losses) == SETTINGS.training.steps
    assert len(made.split.train) == 24
    assert len(made.panel.genes) == 6


def test_same_call_again_trains_nothing(tmp_path, spots):
    first = run(tmp_path, spots)
    written = (tmp_path / "adapter" / "record.json").stat().st_mtime_ns
    again = run(tmp_path, spots)
    assert (tmp_path / "adapter" / "record.json").stat().st_mtime_ns == written
    assert again.losses == first.losses


def test_stopped_adaptation_resumes_to_the_same_adapter(tmp_path, spots):
    straight = run(tmp_path / "a", spots)
    with pytest.raises(Interrupted, match="step 3 of 6"):
        run(tmp_path / "b", spots, stop=stop_after(3))
    assert not (tmp_path / "b" / "adapter").exists()
    resumed = run(tmp_path / "b", spots)
    assert resumed.losses == straight.losses
    assert all(torch.equal(weights(straight)[name], tensor) for name, tensor in weights(resumed).items())


def test_other_settings_are_refused_unless_overwriting(tmp_path, spots):
    first = run(tmp_path, spots)
    other = SETTINGS.model_copy(update={"seed": 4})
    with pytest.raises(BadInput, match=r"differs: split, seed|differs: panel, split, seed"):
        run(tmp_path, spots, other)
    assert load_adaptation(tmp_path / "adapter").record == first.record
    assert run(tmp_path, spots, other, overwrite=True).record.settings.seed == 4


def test_adapter_does_not_attach_to_another_release(tmp_path, spots):
    made = run(tmp_path, spots)
    with pytest.raises(BadArtefact, match="belongs to backbone"):
        made.attach(toy_release(seed=1))


def test_panel_of_another_adapter_is_refused(tmp_path, spots):
    run(tmp_path, spots)
    run(tmp_path / "other", spots, SETTINGS.model_copy(update={"genes": 5}))
    (tmp_path / "other" / "adapter" / "panel.json").replace(tmp_path / "adapter" / "panel.json")
    with pytest.raises(BadArtefact, match="do not belong together"):
        load_adaptation(tmp_path / "adapter")


def test_damaged_adapter_is_refused(tmp_path, spots):
    run(tmp_path, spots)
    path = tmp_path / "adapter" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadArtefact, match="is damaged"):
        load_adaptation(tmp_path / "adapter")


def test_folder_without_adapter_names_the_step():
    with pytest.raises(BadInput, match="run the step that writes it first"):
        load_adaptation(Path("/nowhere/adapter"))

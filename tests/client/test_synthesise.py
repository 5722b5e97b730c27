"""Synthetic pairs: what they are conditioned on, that they stream and resume, and that they say where they come from."""

import numpy as np
import pytest
from fakes.small_site import SmallSite
from fakes.toy_release import DEFAULTS, toy_release

from c2lst_client.adapt import AdaptationSettings, adapt
from c2lst_client.spots.prepare import prepare_spots
from c2lst_client.spots.read import read_spots
from c2lst_client.synthesise import synthesise
from c2lst_shared.errors import BadInput, Interrupted
from c2lst_shared.presets import SamplingConfig
from c2lst_shared.progress import Silent

SAMPLING = SamplingConfig(steps=2, batch=16)


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    release = toy_release()
    found = read_spots(SmallSite().write_legacy(folder / "raw"))
    spots = prepare_spots(found, release.manifest.backbone, release.manifest.stain, folder / "spots")
    chosen = AdaptationSettings(
        fraction=0.5, method="random", seed=0, genes=6, adapter=DEFAULTS.adapter, training=DEFAULTS.adaptation
    )
    made = adapt(folder / "adapter", release, spots, chosen, overwrite=False, progress=Silent(), stop=lambda: False)
    return release, made, spots


def run(folder, adapted, *, per_spot=2, mode="interpolated", seed=0, sampling=SAMPLING, overwrite=False, stop=lambda: False):
    release, adaptation, spots = adapted
    return synthesise(
        folder,
        release,
        adaptation,
        spots,
        per_spot=per_spot,
        mode=mode,
        sampling=sampling,
        seed=seed,
        overwrite=overwrite,
        progress=Silent(),
        stop=stop,
    )


def test_pairs_say_where_they_come_from(tmp_path, adapted):
    pairs = run(tmp_path, adapted)
    train = adapted[1].split.train
    assert len(pairs) == 2 * len(train)
    assert set(pairs.obs["source"]) == set(train)
    partners = [f"partner_{number}" for number in range(1, 5)]
    assert set(np.concatenate([pairs.obs[name] for name in partners])) <= set(train)
    np.testing.assert_allclose(sum(pairs.obs[f"{name}_share"] for name in ["source", *partners]), 1)
    assert pairs.provenance["mixing"] == {"neighbours": 4, "components": 1}
    assert pairs.provenance["release"] == "mob/1"
    assert pairs.provenance["adapter"] == adapted[1].record.fingerprint
    assert pairs.provenance["sampling"] == {"sampler": "unipc", "steps": 2, "guidance": 3.0, "guided_from": 0.0}
    assert pairs.genes == list(adapted[1].panel.genes)
    assert pairs.patches([0]).std() > 0


def test_stopped_synthesis_resumes_to_the_same_patches(tmp_path, adapted):
    whole = run(tmp_path / "a", adapted)
    with pytest.raises(Interrupted, match="after 16 of 48"):
        run(tmp_path / "b", adapted, stop=lambda: True)
    resumed = run(tmp_path / "b", adapted)
    assert np.array_equal(resumed.patches(range(len(resumed))), whole.patches(range(len(whole))))


def test_other_seed_gives_other_patches_and_is_refused_in_the_same_folder(tmp_path, adapted):
    first = run(tmp_path / "a", adapted).patches(range(4))
    with pytest.raises(BadInput, match="seed"):
        run(tmp_path / "a", adapted, seed=1)
    assert not np.array_equal(run(tmp_path / "a", adapted, seed=1, overwrite=True).patches(range(4)), first)


def test_observed_expression_repeats_the_training_spots(tmp_path, adapted):
    _, adaptation, spots = adapted
    train_rows, _ = adaptation.split.rows(spots.barcodes)
    known = adaptation.panel.transform(spots.counts, spots.genes)[train_rows]
    pairs = run(tmp_path, adapted, mode="observed")
    np.testing.assert_array_equal(pairs.expression, np.tile(known, (2, 1)))

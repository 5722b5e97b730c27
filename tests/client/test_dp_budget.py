"""The budget of a differentially private adaptation, and that adapter, record, terminal and measurement tell it."""

import sys

import pytest
from fakes.small_site import SmallSite
from fakes.toy_release import DEFAULTS, toy_release

from c2lst_client.adapt import AdaptationSettings, adapt
from c2lst_client.dp_budget import DpTarget, plan_budget, sentence
from c2lst_client.journey import _dp_target
from c2lst_client.options import AdaptOptions
from c2lst_client.spots.prepare import prepare_spots
from c2lst_client.spots.read import read_spots
from c2lst_shared.errors import BadInput
from c2lst_shared.presets import TrainingConfig
from c2lst_shared.progress import Silent

TRAINING = TrainingConfig(steps=700, micro_batch=16, learning_rate=1e-3)


def test_missing_opacus_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "opacus", None)
    monkeypatch.setitem(sys.modules, "opacus.accountants", None)
    with pytest.raises(BadInput, match=r"needs opacus; install it with `pip install 'c2lst\[client,dp\]'`"):
        plan_budget(DpTarget(epsilon=8, delta=1e-3), 65, TRAINING)


def test_delta_that_would_lay_a_spot_open_is_refused():
    with pytest.raises(BadInput, match=r"give --dp-delta below 0\.015"):
        plan_budget(DpTarget(epsilon=8, delta=0.02), 65, TRAINING)


def test_less_epsilon_takes_more_noise_and_no_more_is_spent_than_asked():
    pytest.importorskip("opacus")
    budgets = [plan_budget(DpTarget(epsilon=epsilon, delta=1e-3), 65, TRAINING) for epsilon in (1, 8)]
    assert budgets[0].noise_multiplier > budgets[1].noise_multiplier > 1
    assert 0.9 < budgets[0].epsilon <= 1
    assert 7.5 < budgets[1].epsilon <= 8
    assert budgets[0].sample_rate == 16 / 65
    assert "no such number" in sentence(budgets[0])


def test_few_spots_are_all_in_every_step():
    pytest.importorskip("opacus")
    assert plan_budget(DpTarget(epsilon=8, delta=1e-3), 12, TRAINING).sample_rate == 1


def test_user_turns_it_on_changes_it_and_turns_it_off():
    earlier = DpTarget(epsilon=8, delta=1e-4)
    assert _dp_target(AdaptOptions(), None) is None
    assert _dp_target(AdaptOptions(dp_epsilon=3), None) == DpTarget(epsilon=3, delta=1e-3)
    assert _dp_target(AdaptOptions(), earlier) == earlier
    assert _dp_target(AdaptOptions(dp_epsilon=2), earlier) == DpTarget(epsilon=2, delta=1e-4)
    assert _dp_target(AdaptOptions(dp_epsilon=0), earlier) is None
    with pytest.raises(BadInput, match="--dp-delta alone asks for nothing"):
        _dp_target(AdaptOptions(dp_delta=1e-4), None)


def test_private_adapter_is_trained_and_its_record_says_what_it_cost(tmp_path):
    pytest.importorskip("opacus")
    release = toy_release()
    spots = prepare_spots(
        read_spots(SmallSite().write_legacy(tmp_path / "raw")),
        release.manifest.backbone,
        release.manifest.stain,
        tmp_path / "s",
    )
    chosen = AdaptationSettings(
        fraction=0.5,
        method="random",
        seed=0,
        genes=6,
        adapter=DEFAULTS.adapter,
        training=DEFAULTS.adaptation,
        dp=DpTarget(epsilon=8, delta=1e-3),
    )
    made = adapt(tmp_path / "a", release, spots, chosen, overwrite=False, progress=Silent(), stop=lambda: False)
    assert made.record.dp is not None
    assert made.record.dp.epsilon <= 8
    assert made.record.dp.steps == len(made.losses) == 6
    assert "not for a patient" in made.record.dp.note
    plain = chosen.model_copy(update={"dp": None})
    with pytest.raises(BadInput, match="differs: dp"):
        adapt(tmp_path / "a", release, spots, plain, overwrite=False, progress=Silent(), stop=lambda: False)

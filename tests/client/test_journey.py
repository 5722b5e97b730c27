"""The site's steps joined: each does what is missing before it, nothing twice, and nothing with an adapter that is gone."""

import re
import subprocess
import sys

import anndata
import pytest
from fakes.small_site import SmallSite
from fakes.toy_release import toy_release
from typer.testing import CliRunner

from c2lst_client.cli import app
from c2lst_client.evaluate.results import CotrainResult
from c2lst_client.export import plan_export
from c2lst_client.home import Home
from c2lst_client.journey import Journey
from c2lst_client.options import AdaptOptions, SampleOptions
from c2lst_client.privacy.results import PrivacyResult
from c2lst_client.rounds.policy import Policy
from c2lst_client.settings import Settings
from c2lst_client.sites import add_site, open_site, site_names
from c2lst_client.status import read_status
from c2lst_shared import journal
from c2lst_shared.errors import BadInput, Busy, Interrupted
from c2lst_shared.progress import Silent

HALF = AdaptOptions(fraction=0.5)


class OfflineJourney(Journey):
    """A journey that starts from a release in memory; pulling and verifying have tests of their own."""

    def release(self, name):
        return toy_release()


@pytest.fixture
def home(tmp_path):
    raw = SmallSite().write_legacy(tmp_path / "raw")
    folder = Home(tmp_path / "home")
    add_site(folder, "demo", organ="mob", spots=raw)
    return folder


def journey(home, stop=lambda: False):
    return OfflineJourney(Settings(home=home.path), open_site(home, "demo"), progress=Silent(), stop=stop)


@pytest.mark.slow
def test_report_alone_does_everything_before_it(home):
    path = journey(home).report()
    text = path.read_text()
    assert "Research use only" in text
    assert "<script" not in text
    steps = [entry.step for entry in journal.read(home.site("demo")).entries]
    assert steps == ["prepare spots", "adapt", "evaluate", "synthesise", "cotrain", "report"]
    (state,) = read_status(home).sites
    assert state.done == ["adapt", "synthesise", "cotrain", "report"]
    assert state.next is None


@pytest.mark.slow
def test_arms_take_equal_steps_and_results_are_kept(home):
    run = journey(home)
    run.adapt(HALF)
    first = run.cotrain()
    assert {arm.kind for arm in first.arms} >= {"mean", "real", "real+augmentation", "synthetic", "real+synthetic"}
    stored = anndata.read_h5ad(run.site.cotrain / "predictions.h5ad")
    assert stored.obs_names.tolist() == first.test_barcodes
    assert stored.uns["arm"] == first.primary.arm
    assert {"predicted", *(arm.label for arm in first.arms)} <= set(stored.layers)
    written = (run.site.cotrain / "result.json").stat().st_mtime_ns
    assert journey(home).cotrain() == first
    assert (run.site.cotrain / "result.json").stat().st_mtime_ns == written
    assert CotrainResult.model_validate_json((run.site.cotrain / "result.json").read_bytes()).made_from == first.made_from


@pytest.mark.slow
def test_chosen_seeds_and_ratios_of_cotraining_are_kept_by_the_report(home):
    run = journey(home)
    run.adapt(HALF)
    run.synthesise(SampleOptions(), per_spot=3)
    chosen = run.cotrain(seeds=3, ratios=[3])
    assert (chosen.seeds, chosen.ratios) == (3, (3,))
    run.report()
    assert CotrainResult.model_validate_json((run.site.cotrain / "result.json").read_bytes()) == chosen


def test_ratio_beyond_the_pairs_names_the_command_that_makes_more(home):
    run = journey(home)
    run.adapt(HALF)
    run.synthesise(SampleOptions(), per_spot=1)
    with pytest.raises(BadInput, match="run `c2lst-client synthesise --per-spot 2 --overwrite`"):
        run.cotrain(ratios=[2])


def test_two_processes_do_not_work_on_one_site(home):
    holding = "import sys, filelock; held = filelock.FileLock(sys.argv[1]); held.acquire(); print('held', flush=True); input()"
    words = [sys.executable, "-c", holding, str(home.site("demo") / ".lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Busy, match="Another c2lst command is working on site demo"), open_site(home, "demo").exclusively():
            pass
        other.communicate("\n")
    with open_site(home, "demo").exclusively():
        pass


BLOCKED = AdaptOptions(fraction=0.3, split="blocked")


@pytest.mark.slow
def test_privacy_is_measured_once_per_set_of_pairs_and_opens_the_way_out(tmp_path, home):
    run = journey(home)
    run.adapt(BLOCKED)
    run.synthesise(SampleOptions(), per_spot=2)
    found = run.privacy()
    assert found.members == 15
    assert 10 <= found.non_members < 49 - 15
    assert {one.basis for one in found.neighbours} == {"embedding", "pixels", "expression"}
    assert all(one.within_5_percent == 0 for one in found.expression.recoveries)
    train, test = run.adapted().rows
    for sample, inside, outside in found.neighbours[0].closest:
        assert (sample < 30, inside in train, outside in test) == (True, True, True)
    written = (run.site.privacy / "result.json").stat().st_mtime_ns
    assert journey(home).privacy() == found
    assert (run.site.privacy / "result.json").stat().st_mtime_ns == written
    planned = plan_export(run.site, tmp_path / "out", policy=Policy())
    assert planned.privacy is not None
    run.synthesise(SampleOptions(overwrite=True), per_spot=1)
    with pytest.raises(BadInput, match="was not measured"):
        plan_export(run.site, tmp_path / "out", policy=Policy())
    assert run.privacy().pairs != found.pairs


@pytest.mark.slow
def test_stopped_measurement_leaves_nothing(home):
    run = journey(home)
    run.adapt(BLOCKED)
    run.synthesise(SampleOptions(), per_spot=1)
    with pytest.raises(Interrupted, match="begins it anew"):
        journey(home, stop=lambda: True).privacy()
    assert not (run.site.privacy / "result.json").exists()


@pytest.mark.slow
def test_privacy_on_the_terminal_ends_in_what_export_will_do(home, monkeypatch):
    monkeypatch.setattr("c2lst_client.journey.Journey", OfflineJourney)
    journey(home).adapt(BLOCKED)
    done = CliRunner().invoke(app, ["privacy", "--site", "demo", "--home", str(home.path)])
    assert done.exit_code == 0
    assert "15 members (training spots)" in done.stdout
    assert re.search(r"^Export is (allowed|flagged|blocked)\.$", done.stdout, re.MULTILINE)
    as_json = CliRunner().invoke(app, ["privacy", "--site", "demo", "--home", str(home.path), "--json"])
    assert PrivacyResult.model_validate_json(as_json.stdout).members == 15


def test_spots_that_all_lie_beside_training_spots_name_the_other_split(home):
    run = journey(home)
    run.adapt(HALF)
    run.synthesise(SampleOptions(), per_spot=1)
    with pytest.raises(BadInput, match=r"non-members are too few to measure privacy.*adapt with `--split blocked`"):
        run.privacy()


def test_new_adapter_makes_old_pairs_stale(home):
    run = journey(home)
    run.adapt(HALF)
    old = run.synthesise(SampleOptions(), per_spot=1)
    run.adapt(AdaptOptions(seed=5, overwrite=True))
    new = run.synthesise(SampleOptions(), per_spot=1)
    assert new.provenance["adapter"] != old.provenance["adapter"]


def test_later_steps_keep_the_adapters_settings(home):
    run = journey(home)
    made = run.adapt(HALF)
    again = run.adapt(AdaptOptions())
    assert again.adaptation.record == made.adaptation.record
    with pytest.raises(BadInput, match=r"differs: panel, split, fraction"):
        run.adapt(AdaptOptions(fraction=0.4))


@pytest.mark.slow
def test_stopped_cotraining_says_how_to_go_on(home):
    run = journey(home)
    run.synthesise(SampleOptions())
    stopping = journey(home, stop=lambda: True)
    with pytest.raises(Interrupted, match="same command goes on"):
        stopping.cotrain()
    assert run.cotrain().arms


def test_release_of_another_organ_is_refused(tmp_path, home):
    with pytest.raises(BadInput, match="'breast/1' is not a release for this site's organ; write it like mob/1"):
        Journey(Settings(home=home.path), open_site(home, "demo"), progress=Silent(), stop=lambda: False).release("breast/1")


def test_site_with_bad_spots_is_not_registered(tmp_path, home):
    broken = SmallSite(name="S2")
    broken.counts[3, 2] = -1
    with pytest.raises(BadInput, match="negative"):
        add_site(home, "broken", organ="mob", spots=broken.write_legacy(tmp_path / "broken"))
    assert site_names(home) == ["demo"]
    assert not home.site("broken").exists()


def test_name_of_a_site_is_not_reused_for_other_spots(tmp_path, home):
    other = SmallSite(name="S2").write_legacy(tmp_path / "other")
    with pytest.raises(BadInput, match="with other spots or settings"):
        add_site(home, "demo", organ="mob", spots=other)


@pytest.mark.parametrize("name", ["../up", "Up", "", "a/b"])
def test_unsafe_site_names_are_refused(tmp_path, home, name):
    with pytest.raises(BadInput, match="cannot be a site's name"):
        add_site(home, name, organ="mob", spots=tmp_path / "raw")

"""The study as a user runs it: whole, stopped and resumed, with another design; its tables and its verdict."""

import csv
import json
import multiprocessing
from dataclasses import replace

import pytest
from fakes.offline_journey import OfflineJourney
from fakes.small_site import SmallSite
from fakes.toy_release import DEFAULTS
from typer.testing import CliRunner

from c2lst_client import cli
from c2lst_client.evaluate.results import Interval
from c2lst_client.home import Home
from c2lst_client.options import StudyOptions
from c2lst_client.settings import Settings
from c2lst_client.sites import add_site, open_site
from c2lst_client.study.design import Division, StudyDesign, check_design, fitted, left_out
from c2lst_client.study.results import StudyResult
from c2lst_client.study.verdict import opening, words
from c2lst_shared.errors import BadInput, C2lstError, Interrupted
from c2lst_shared.presets import PredictorConfig, SamplingConfig
from c2lst_shared.progress import Silent

SMALL = StudyOptions(fractions=(0.25, 0.5), ratios=(1, 2), repeats=2, main_repeats=3, seeds=2, epochs=2)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    raw = SmallSite().write_legacy(folder / "raw")
    found = Home(folder / "home")
    add_site(found, "demo", organ="mob", spots=raw)
    return found


def journey(home, stop=lambda: False, progress=None):
    return OfflineJourney(Settings(home=home.path), open_site(home, "demo"), progress=progress or Silent(), stop=stop)


class Heard(Silent):
    """Progress that counts divisions."""

    done = 0

    def advance(self, units=1, note=""):
        self.done += note == "1 finished"


def nearly(text):
    """A number as far as the number of threads leaves it alone."""
    return round(float(text), 3)


@pytest.fixture(scope="module")
def result(home):
    said = []
    found = journey(home).study(SMALL, said.append)
    assert said[0] == "Division 1 of 7: random 25 %, split 0"
    return found


def design(**chosen):
    return StudyDesign(predictor=DEFAULTS.predictor, sampling=DEFAULTS.sampling, **chosen)


def test_design_has_something_of_every_kind_first_and_every_arm():
    usual = design()
    assert [each.label for each in usual.divisions[:2]] == ["random 25 %, split 0", "blocked 25 %, split 0"]
    assert len(usual.divisions) == 20
    assert [each.label for each in usual.divisions[-5:]] == [f"random 25 %, split {split}" for split in range(3, 8)]
    main = {recipe.label for recipe in usual.arms(Division("random", 0.25, 0))}
    assert {"real + shuffled x10", "real + unadapted x10", "real + observed x10", "synthetic x1", "real, 200 epochs"} <= main
    assert {recipe.label for recipe in usual.arms(Division("random", 0.05, 0))} < main
    assert usual.arms(Division("random", 0.25, 3)) == usual.arms(Division("random", 0.05, 0))
    assert not any(recipe.epochs for recipe in usual.model_copy(update={"epochs": None}).arms(Division("random", 0.25, 0)))


def test_slide_that_is_too_small_is_refused_before_anything_is_made():
    with pytest.raises(BadInput, match=r"49 spots are too few for fractions from 0\.05 to 0\.5: .* must be about 200"):
        check_design(design(), 49)


def test_fractions_that_a_slide_is_too_small_for_are_left_out_unless_they_were_asked_for(home):
    assert fitted(design(), 179).fractions == (0.1, 0.25, 0.5)
    assert left_out(fitted(design(), 179), 179) == [0.05]
    assert fitted(design(), 1000) == design()
    assert left_out(design(fractions=(0.25,)), 179) == []
    assert journey(home).plan_study(StudyOptions(repeats=1)).divisions == 3  # the small site has 49 spots
    with pytest.raises(BadInput, match=r"49 spots are too few for fractions from 0\.05"):
        journey(home).plan_study(StudyOptions(repeats=1, fractions=(0.05, 0.25)))


@pytest.mark.slow
def test_study_has_every_table(home, result):
    folder = home.site("demo") / "study"
    assert StudyResult.model_validate_json((folder / "study.json").read_bytes()) == result
    assert len(result.divisions) == 7
    assert {(each.method, each.fraction) for each in result.efficiency} == {
        ("random", 0.25),
        ("random", 0.5),
        ("blocked", 0.25),
    }
    assert [row.arm for row in result.ratios] == [
        "real",
        "real + augmentation",
        "synthetic x1",
        "synthetic x2",
        "real + synthetic x1",
        "real + synthetic x2",
    ]
    assert result.ratios[0].against_real.value == 0
    answered = {(each.method, each.against): each.divisions for each in result.controls}
    assert answered["random", "real + augmentation"] == 3
    assert answered["random", "real + shuffled x2"] == answered["blocked", "real + augmentation"] == 2
    blocked = [each for each in result.divisions if each.method == "blocked"]
    assert all(each.overlapping == 0 for each in blocked)
    assert [each.conditioning is not None for each in result.divisions] == [True, True, True, False, False, False, False]
    with (folder / "tables" / "arms.csv").open() as file:
        rows = list(csv.DictReader(file))
    trained = [each for each in rows if each["arm"] != "mean"]
    assert len({(each["division"], each["arm"], each["seed"]) for each in rows}) == len(rows)
    assert {each["seed"] for each in trained} == {"0", "1"}
    assert any("random 25 %" in each["division"] and each["arm"] == "real + synthetic x2, 2 epochs" for each in rows)
    assert len(result.verdict) >= 6


@pytest.mark.slow
def test_tissue_is_looked_at_and_drawn(home, result):
    folder = home.site("demo") / "study"
    assert [note.partition(":")[2] for note in result.notes] == [
        " left out."
    ] * 2  # 5 and 10 % of 49 spots; all could be measured
    assert result.quality.image.encoder.name == "EfficientNet-lite0"
    assert result.quality.composition.spots == result.divisions[0].test_spots
    assert len(result.correspondence.genes.genes) == result.genes
    assert [each.filled_with for each in result.correspondence.dropout] == ["the panel's mean", "a count of zero"]
    assert {(each.gene, each.strip) for each in result.correspondence.sweeps} >= {("Dense", "alone"), ("Dense", "together")}
    assert [arm.label for arm in result.coherence.spatial.arms][:2] == ["real", "real + augmentation"]
    drawn = {path.stem for path in (folder / "figures").glob("*.png")}
    assert {"examples", "quality", "shared_space", "composition", "overlays", "genes", "sweeps", "morans", "map_1"} <= drawn
    page = (folder / "study.html").read_text()
    assert page.count("data:image/png") == len(drawn)
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert all(
        f'href="#{name}"' in page and f'id="{name}"' in page for name in ("efficiency", "ratios", "quality", "coherence")
    )


@pytest.mark.slow
def test_part_that_cannot_be_measured_is_said_and_the_rest_stays(home, result):
    found = journey(home).study(replace(SMALL, encoder=home.path / "nothing"), lambda line: None)
    assert found.quality is None
    assert found.coherence == result.coherence
    assert found.notes[:-1] == result.notes
    assert found.notes[-1].startswith("The part on quality could not be measured: ")
    assert found.notes[-1] in (home.site("demo") / "study" / "study.html").read_text().replace("&#39;", "'")


@pytest.mark.slow
def test_second_call_makes_nothing_and_finds_the_same(home, result):
    files = {path: path.stat().st_mtime_ns for kind in ("adapters", "pairs", "cells") for path in files_of(home, kind)}
    again = journey(home).study(SMALL, lambda line: None)
    assert again.model_copy(update={"seconds": {}, "verdict": []}) == result.model_copy(update={"seconds": {}, "verdict": []})
    assert {path: path.stat().st_mtime_ns for kind in ("adapters", "pairs", "cells") for path in files_of(home, kind)} == files
    plan = journey(home).plan_study(SMALL)
    assert (plan.adapters, plan.pairs) == (0, 0)


@pytest.mark.slow
def test_larger_study_keeps_what_it_shares_with_a_smaller_one(home, result):
    plan = journey(home).plan_study(StudyOptions(fractions=(0.25, 0.5), ratios=(1, 2), repeats=3, seeds=2, epochs=2))
    assert plan.divisions == 9
    assert plan.adapters == 2  # the third random division of 25 % is there


@pytest.mark.slow
def test_stopped_study_goes_on_and_ends_the_same(tmp_path, result):
    home = Home(tmp_path / "home")
    add_site(home, "demo", organ="mob", spots=SmallSite().write_legacy(tmp_path / "raw"))
    for steps in (10, 40, 80, 160):  # a few stops, ever later: each start reads and checks everything that is there
        left = iter(range(steps))
        with pytest.raises(Interrupted):
            journey(home, lambda left=left: next(left, None) is None).study(SMALL, lambda line: None)
    found = journey(home).study(SMALL, lambda line: None)
    kept = {"seconds": {}, "verdict": []}
    assert found.model_copy(update=kept) == result.model_copy(update=kept)


def at_a_new_home(folder):
    home = Home(folder / "home")
    add_site(home, "demo", organ="mob", spots=SmallSite().write_legacy(folder / "raw"))
    return home


@pytest.mark.slow
def test_divisions_made_side_by_side_give_the_same(tmp_path, result):
    home = at_a_new_home(tmp_path)
    found = journey(home).study(replace(SMALL, jobs=2), lambda line: None)
    assert not multiprocessing.active_children()
    kept = {"seconds": {}, "verdict": []}
    rounded = [json.loads(each.model_copy(update=kept).model_dump_json(), parse_float=nearly) for each in (found, result)]
    assert rounded[0] == rounded[1]
    assert set(found.seconds) == set(result.seconds)  # what other processes spent is in the journal too


@pytest.mark.slow
def test_stopped_side_by_side_all_processes_save_and_end(tmp_path):
    home = at_a_new_home(tmp_path)
    progress = Heard()
    with pytest.raises(Interrupted):
        journey(home, stop=lambda: progress.done > 0, progress=progress).study(replace(SMALL, jobs=2), lambda line: None)
    assert not multiprocessing.active_children()
    made = {path.name for path in files_of(home, "cells")}
    assert made
    plan = journey(home).plan_study(SMALL)
    assert 0 < plan.adapters < 7


@pytest.mark.slow
def test_process_that_is_killed_is_said_in_a_sentence(tmp_path):
    home = at_a_new_home(tmp_path)

    def kill_one():
        children = multiprocessing.active_children()
        if children:
            children[0].kill()
        return False

    with pytest.raises(C2lstError, match="fewer --jobs"):
        journey(home, stop=kill_one).study(replace(SMALL, jobs=2), lambda line: None)
    assert not multiprocessing.active_children()


def test_dry_run_makes_nothing(home, monkeypatch):
    monkeypatch.setattr("c2lst_client.journey.Journey.release", OfflineJourney.release)
    before = set((home.site("demo") / "study").rglob("*"))
    arguments = ["study", "--site", "demo", "--home", str(home.path), "--fraction", "0.25", "--repeats", "1", "--dry-run"]
    shown = CliRunner().invoke(cli.app, [*arguments, "--json"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["divisions"] == 2
    assert "2 divisions of the spots." in CliRunner().invoke(cli.app, arguments).output
    assert set((home.site("demo") / "study").rglob("*")) == before


def test_figures_in_words():
    assert words(Interval(value=-0.031, low=-0.05, high=-0.012)) == "-3.1 % [-5.0, -1.2]"


def test_verdict_opens_with_what_the_interval_allows():
    better, worse = Interval(value=-0.08, low=-0.11, high=-0.05), Interval(value=0.03, low=0.01, high=0.05)
    assert opening(Interval(value=-0.008, low=-0.015, high=-0.002), worse) == "Synthetic pairs help at this site, a little."
    assert opening(better, better) == "Synthetic pairs help at this site."
    assert opening(worse, worse) == "Synthetic pairs hurt at this site."
    assert opening(worse, better).endswith("real spots alone, trained for less, do better.")
    assert opening(Interval(value=-0.03, low=-0.07, high=0.01), worse).startswith("There is no evidence")


def test_choices_of_the_user_make_the_design():
    made = StudyOptions(fractions=(0.1, 0.3), ratios=(4,), seeds=7, epochs=0).design(DEFAULTS)
    assert (made.fractions, made.main, made.ratios, made.predictor.seeds, made.epochs) == ((0.1, 0.3), 0.3, (4,), 7, None)
    assert made.sampling == SamplingConfig(steps=2, batch=8)
    assert isinstance(made.predictor, PredictorConfig)
    assert (made.repeats, made.main_repeats) == (3, 8)
    few = StudyOptions(repeats=1).design(DEFAULTS)
    assert (few.repeats, few.main_repeats) == (1, 1)
    assert StudyOptions(repeats=1, main_repeats=4).design(DEFAULTS).main_repeats == 4


def files_of(home, kind):
    return [path for path in (home.site("demo") / "study" / kind).rglob("*") if path.is_file()]

"""Synthetic pairs leave the state folder only when asked for: whole, told, written down, and never over anything."""

import json
import subprocess
import sys

import anndata
import h5py
import numpy as np
import pytest
from fakes.pair_process import patch, writer
from fakes.privacy_results import privacy_result, recovery
from typer.testing import CliRunner

from c2lst_client.audit import AuditLog, Entry, verify_chain
from c2lst_client.cli import app
from c2lst_client.export import plan_export, write_export
from c2lst_client.home import Home
from c2lst_client.rounds.policy import Policy, change_policy
from c2lst_client.sites import SiteRecord, open_site
from c2lst_client.spots.pairs import PairSet
from c2lst_shared.errors import BadArtefact, BadInput

COUNT = 150  # more than two batches


def fill(site, mode):
    provenance = {"kind": "synthetic pairs", "adapter": "a" * 64} | ({"expression": mode} if mode else {})
    mixing = {
        "source": ["x"] * COUNT,
        "source_share": [0.75] * COUNT,
        "partner_1": ["y"] * COUNT,
        "partner_1_share": [0.25] * COUNT,
    }
    with writer(site.synthetic, COUNT, 8, provenance=provenance, obs=mixing) as pairs:
        pairs.append(np.stack([patch(number, 8) for number in range(COUNT)]))
        made = pairs.finish()
    measure(site, made)
    return made


def measure(site, pairs, **changes):
    site.privacy.mkdir(exist_ok=True)
    found = privacy_result(pairs=pairs.fingerprint, **changes)
    (site.privacy / "result.json").write_text(found.model_dump_json())


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    SiteRecord(name="demo", organ="mob", spots=tmp_path / "raw").save(home.site("demo") / "site.json")
    return home


@pytest.fixture
def site(home):
    return open_site(home, "demo")


def command(home, *words):
    return CliRunner().invoke(app, ["export", "--site", "demo", "--home", str(home.path), *words])


def test_export_copies_every_pair_and_says_so_in_the_log(tmp_path, home, site):
    pairs = fill(site, "interpolated")
    done = command(home, "--out", str(tmp_path / "out"), "--yes")
    assert done.exit_code == 0
    assert "150 synthetic pairs of site demo will be written to" in done.stdout
    assert done.stdout.splitlines()[-1] == f"Exported to {tmp_path / 'out'}"
    copy = PairSet.open(tmp_path / "out")
    assert np.array_equal(copy.patches(range(COUNT)), pairs.patches(range(COUNT)))
    assert np.array_equal(copy.expression, pairs.expression)
    assert np.array_equal(copy.coords, pairs.coords)
    assert copy.provenance == pairs.provenance | {"exported_from": pairs.fingerprint}
    assert verify_chain(home.audit_log) == 1
    line = json.loads(home.audit_log.read_text())
    assert (line["kind"], line["path"]) == ("export", str(tmp_path / "out"))
    assert line["bytes_out"] == sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert line["content"] == {
        "site": "demo",
        "format": "hest",
        "pairs": COUNT,
        "fingerprint": pairs.fingerprint,
        "expression": "interpolated",
        "observed_allowed": False,
        "privacy": "allowed",
        "privacy_checked": True,
    }


def test_what_pairs_were_mixed_from_stays_behind(tmp_path, site):
    fill(site, "interpolated")
    out = write_export(plan_export(site, tmp_path / "out", policy=Policy()), AuditLog(tmp_path / "audit.log"))
    assert list(anndata.read_h5ad(out / "expression.h5ad").obs.columns) == []
    for path in out.iterdir():
        with h5py.File(path) as file:
            names = []
            file.visit(names.append)
        assert not {f"obs/{column}" for column in ("source", "source_share", "partner_1", "partner_1_share")} & set(names)


def test_policy_of_the_institution_stands_before_every_other_word(tmp_path, home, site):
    fill(site, "interpolated")
    change_policy(home, {"export": "never"})
    words = ("--site", "demo", "--home", str(home.path), "--out", str(tmp_path / "out"), "--yes")
    code = "import sys; from c2lst_client.cli import main; sys.exit(main())"
    for more in ((), ("--allow-observed", "--without-privacy-check")):
        done = subprocess.run(
            [sys.executable, "-c", code, "export", *words, *more], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            "Error: The policy of this institution lets no synthetic pairs leave, so those of site demo stay; whoever answers "
            "for it changes that with `c2lst-client policy set --export allow`.\n"
        )
    assert not (tmp_path / "out").exists()
    assert not home.audit_log.exists()
    change_policy(home, {"export": "allow"})
    assert command(home, "--out", str(tmp_path / "out"), "--yes").exit_code == 0


def test_damaged_policy_lets_nothing_leave(tmp_path, home, site):
    fill(site, "interpolated")
    home.policy.write_text("{")
    done = command(home, "--out", str(tmp_path / "out"), "--yes")
    assert isinstance(done.exception, BadArtefact)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode", ["observed", None, "resampled"])
def test_pairs_of_observed_or_unknown_expression_need_so_many_words(tmp_path, home, site, mode):
    fill(site, mode)
    with pytest.raises(BadInput, match=r"carry the observed expression of real spots; make them .* or pass --allow-observed"):
        plan_export(site, tmp_path / "out", policy=Policy())
    assert not home.audit_log.exists()
    done = command(home, "--out", str(tmp_path / "out"), "--yes", "--allow-observed")
    assert "the OBSERVED expression of real spots" in done.stdout
    assert json.loads(home.audit_log.read_text())["content"]["observed_allowed"] is True


def test_pairs_that_were_not_measured_need_so_many_words(tmp_path, home, site):
    fill(site, "interpolated")
    (site.privacy / "result.json").unlink()
    with pytest.raises(
        BadInput, match=r"was not measured; run `c2lst-client privacy --site demo` first, or pass --without-pri"
    ):
        plan_export(site, tmp_path / "out", policy=Policy())
    done = command(home, "--out", str(tmp_path / "out"), "--yes", "--without-privacy-check")
    assert done.exit_code == 0
    assert "was NOT measured: treat them as the data they come from" in done.stdout
    content = json.loads(home.audit_log.read_text())["content"]
    assert (content["privacy"], content["privacy_checked"]) == ("not measured", False)


@pytest.mark.parametrize("other", [{"pairs": "0" * 64}, {"adapter": "b" * 64}])
def test_measurement_of_other_pairs_does_not_count(tmp_path, site, other):
    pairs = fill(site, "interpolated")
    found = privacy_result(**{"pairs": pairs.fingerprint} | other)
    (site.privacy / "result.json").write_text(found.model_dump_json())
    with pytest.raises(BadInput, match="was not measured"):
        plan_export(site, tmp_path / "out", policy=Policy())


def test_blocked_pairs_stay_unless_so_many_words_are_given(tmp_path, home, site):
    pairs = fill(site, "interpolated")
    measure(site, pairs, rows=recovery(63))
    with pytest.raises(BadInput, match=r"Export is blocked: By lines that meet, 63 of 100 observed rows"):
        plan_export(site, tmp_path / "out", policy=Policy())
    assert not home.audit_log.exists()
    done = command(home, "--out", str(tmp_path / "out"), "--yes", "--without-privacy-check")
    assert "Export is blocked by the rule of docs/export.md, which was NOT asked:" in done.stdout
    content = json.loads(home.audit_log.read_text())["content"]
    assert (content["privacy"], content["privacy_checked"]) == ("blocked", False)


def test_flagged_pairs_leave_after_their_reasons_are_told(tmp_path, home, site):
    pairs = fill(site, "interpolated")
    measure(site, pairs, rows=recovery(3, held_out=4))
    done = command(home, "--out", str(tmp_path / "out"), "--yes")
    assert done.exit_code == 0
    assert "Export is flagged by the rule of docs/export.md:" in done.stdout
    assert "so can 4 of 100 rows" in done.stdout
    assert json.loads(home.audit_log.read_text())["content"]["privacy"] == "flagged"


def test_nothing_is_overwritten(tmp_path, site):
    fill(site, "interpolated")
    (tmp_path / "out").mkdir()
    with pytest.raises(BadInput, match="out exists, and nothing is overwritten; give a folder that does not exist yet"):
        plan_export(site, tmp_path / "out", policy=Policy())


def test_folder_that_comes_into_being_meanwhile_is_left_alone(tmp_path, site):
    fill(site, "interpolated")
    planned = plan_export(site, tmp_path / "out", policy=Policy())
    (tmp_path / "out").mkdir()
    with pytest.raises(BadInput, match="out has come into being meanwhile"):
        write_export(planned, AuditLog(tmp_path / "audit.log"))
    assert list((tmp_path / "out").iterdir()) == []
    assert not list(tmp_path.glob(".out*"))


def test_log_that_cannot_be_written_on_stops_the_export(tmp_path, home, site):
    fill(site, "interpolated")
    home.audit_log.write_text('{"incomplete')
    with pytest.raises(BadArtefact, match="ends in an incomplete line"):
        write_export(plan_export(site, tmp_path / "out", policy=Policy()), AuditLog(home.audit_log))
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


def test_place_that_cannot_be_written_is_one_sentence(tmp_path, site):
    fill(site, "interpolated")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"file cannot be written \(.*\); give another folder"):
        write_export(plan_export(site, tmp_path / "file" / "out", policy=Policy()), AuditLog(tmp_path / "audit.log"))


def test_site_without_pairs_names_the_step(tmp_path, site):
    with pytest.raises(BadInput, match="holds no pairs"):
        plan_export(site, tmp_path / "out", policy=Policy())


def test_prepared_spots_are_never_exported(tmp_path, site):
    with writer(site.synthetic, 3, 8, provenance={"kind": "prepared spots"}) as pairs:
        pairs.append(np.stack([patch(number, 8) for number in range(3)]))
    with pytest.raises(BadInput, match=r"holds prepared spots; run `c2lst-client synthesise` first"):
        plan_export(site, tmp_path / "out", policy=Policy(), allow_observed=True)


def test_without_a_terminal_nothing_is_written_unless_agreed_to(tmp_path, home, site):
    fill(site, "interpolated")
    code = "import sys; from c2lst_client.cli import main; sys.exit(main())"
    words = ["export", "--site", "demo", "--home", str(home.path), "--out", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert "There is no terminal to ask 'Write them?' on; pass --yes to agree beforehand." in done.stderr
    assert not (tmp_path / "out").exists()
    assert not home.audit_log.exists()


def test_lines_of_older_logs_and_of_exports_make_one_chain(tmp_path):
    old = Entry(method="GET", path="/tuf/1", bytes_out=0, bytes_in=1).model_dump_json(exclude_none=True, exclude={"kind"})
    (tmp_path / "audit.log").write_text(old + "\n")
    AuditLog(tmp_path / "audit.log").append(Entry(kind="export", method="COPY", path="/out", bytes_out=5, bytes_in=0))
    assert verify_chain(tmp_path / "audit.log") == 2

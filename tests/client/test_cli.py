"""The client's command line: quick help, one sentence and exit code 2 for bad input, JSON where it is promised."""

import json
import subprocess
import sys

import pytest
from fakes.small_site import SmallSite
from typer.testing import CliRunner

from c2lst_client.cli import app


def client(*words: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from c2lst_client.cli import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("package", ["c2lst_client", "c2lst_server"])
def test_help_does_not_import_torch(package):
    code = f"""
import sys
from {package}.cli import app
from typer.testing import CliRunner
assert CliRunner().invoke(app, ["--help"]).exit_code == 0
heavy = sorted({{"torch", "diffusers", "anndata", "matplotlib", "sklearn", "sqlalchemy", "tuf"}} & set(sys.modules))
sys.exit(f"imported {{heavy}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_inspect_says_what_it_found_as_json(tmp_path):
    folder = SmallSite().write_legacy(tmp_path)
    done = CliRunner().invoke(app, ["inspect", str(folder), "--json"])
    found = json.loads(done.stdout)
    assert (found["spots"], found["genes"]) == (49, 12)
    assert found["um_per_px"] == pytest.approx(2.78, abs=0.01)


def test_missing_spots_are_one_sentence_and_exit_code_2(tmp_path):
    done = client("site", "add", "x", "--organ", "mob", "--spots", str(tmp_path / "none"), "--home", str(tmp_path / "home"))
    assert done.returncode == 2
    assert done.stderr.strip() == f"Error: There is no file or folder {tmp_path / 'none'}."
    assert not (tmp_path / "home").exists()


def test_unknown_site_names_the_next_step(tmp_path):
    done = client("adapt", "--site", "nobody", "--home", str(tmp_path))
    assert done.returncode == 2
    assert "add it with `c2lst-client site add nobody" in done.stderr
    assert "Traceback" not in done.stderr


def test_status_of_an_empty_home(tmp_path):
    done = CliRunner().invoke(app, ["status", "--home", str(tmp_path), "--json"])
    assert json.loads(done.stdout)["releases"] == []

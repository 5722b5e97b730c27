"""Errors become one sentence and an exit code on every command line; what nobody foresaw says where it arose."""

from __future__ import annotations

import errno

import pytest
import typer

from c2lst_shared.console import run
from c2lst_shared.errors import BadArtefact


def ending_with(error: Exception) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    def fail() -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (BadArtefact("It is not what was signed."), 3, "Error: It is not what was signed."),
        (
            OSError(errno.ENOSPC, "No space left on device", "/srv/runs/weights"),
            2,
            "Error: The disk of /srv/runs/weights is full; make room and run the same command again.",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/srv/keys"),
            2,
            "Error: /srv/keys: Permission denied. Give another path, or change what its owner allows.",
        ),
        (OSError(errno.EDQUOT, "Quota exceeded"), 2, "Error: The disk is full; make room and run the same command again."),
    ],
)
def test_error_is_one_sentence(
    error: Exception, code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["c2lst"])
    with pytest.raises(SystemExit) as ended:
        run(ending_with(error))
    assert (ended.value.code, capsys.readouterr()) == (code, ("", f"{said}\n"))


def test_what_nobody_foresaw_says_where_it_arose(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["c2lst"])
    with pytest.raises(SystemExit) as ended:
        run(ending_with(IsADirectoryError(errno.EISDIR, "Is a directory")))
    out, said = capsys.readouterr()
    assert (ended.value.code, out) == (1, "")
    assert "raise error" in said
    assert said.endswith("Error: IsADirectoryError: c2lst did not expect this; please report it with the lines above.\n")

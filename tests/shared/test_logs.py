"""Lines for people and for machines: ids of request and round, and at a site no words of an exception."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from c2lst_shared.logs import LogFormat, in_round, log_config, request_id

SECRET = "/data/patients/slide-7.h5: spot AAACCTGAGAAACCAT-1"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("c2lst.of.a.test")
    yield logger
    logger.handlers.clear()


def configure(style: LogFormat, *, plain_errors: bool = False) -> None:
    logging.config.dictConfig(log_config(style, "c2lst.of.a.test", plain_errors=plain_errors))


def fail() -> None:
    try:
        raise FileNotFoundError(SECRET)  # noqa: TRY301 - it is to have a cause
    except FileNotFoundError as error:
        raise ValueError(f"cannot read {SECRET}") from error


@pytest.mark.parametrize("style", list(LogFormat))
def test_errors_of_a_site_are_written_without_their_words(
    logger: logging.Logger, style: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(style, plain_errors=True)
    try:
        fail()
    except ValueError:
        logger.exception("A round stopped.")
    said = capsys.readouterr().err
    assert "A round stopped." in said
    assert "ValueError" in said
    assert "FileNotFoundError" in said
    assert "fail, " in said
    for part in ("patients", "AAACC", "cannot read"):
        assert part not in said


@pytest.mark.parametrize("style", list(LogFormat))
def test_errors_of_the_centre_keep_their_words(
    logger: logging.Logger, style: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(style)
    try:
        fail()
    except ValueError:
        logger.exception("A request failed.")
    assert "AAACC" in capsys.readouterr().err


def test_lines_carry_the_ids_that_they_belong_to(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.JSON)
    token = request_id.set("ab12")
    with in_round("0123456789abcdef"):
        logger.info("within")
    request_id.reset(token)
    logger.info("outside")
    within, outside = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (within["request"], within["round"]) == ("ab12", "0123456789abcdef")
    assert not {"request", "round"} & set(outside)


def test_people_see_the_ids_too(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.TEXT)
    with in_round("0123456789abcdef"):
        logger.info("within")
    assert capsys.readouterr().err.endswith("INFO within [round 0123456789abcdef]\n")


def test_what_is_no_id_of_a_round_is_not_written_as_one(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.JSON)
    with in_round("AAACCTGAGAAACCAT-1\n"):
        logger.info("within")
    assert "round" not in json.loads(capsys.readouterr().err)

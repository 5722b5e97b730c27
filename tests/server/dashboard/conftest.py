"""A centre with a site and a release, its pages without a network, and administrators who are signed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.central import Central
from fakes.signed_in import SignedIn, sign_in_as
from fastapi import FastAPI

from c2lst_server.administrators import Scope
from c2lst_server.app import create_app

SignIn = Callable[..., SignedIn]


@pytest.fixture
def app(central: Central, tmp_path: Path) -> FastAPI:
    central.invite(tmp_path / "file.json", name="hospital-a")
    return create_app(central.settings)


@pytest.fixture
def sign_in(central: Central, app: FastAPI) -> Iterator[SignIn]:
    """Signs administrators in, each at a browser of their own."""
    opened: list[SignedIn] = []

    def open_one(name: str = "ada", scopes: tuple[Scope, ...] = tuple(Scope)) -> SignedIn:
        opened.append(sign_in_as(central, app, name, scopes))
        return opened[-1]

    yield open_one
    for one in opened:
        one.http.close()


@pytest.fixture
def ada(sign_in: SignIn) -> SignedIn:
    """May do everything."""
    return sign_in()

"""The Flower App Bundle (FAB) of c2lst: a shim of two modules that name the installed package, the same bytes on every machine.

A FAB is code that a federation's server hands to its sites. Ours holds nothing worth handing over, and a site runs the
package that is installed there and never what came in a FAB; it takes work only from runs whose FAB is byte for byte
this one.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import cache
from importlib.metadata import version

PUBLISHER = "c2lst"
NAME = "rounds"
ROUND = "round"  # the key of the run's configuration that says which round it serves
_ZIP_DATE = (2024, 1, 1, 0, 0, 0)
_MANIFEST = ".info/CONTENT"

_PROJECT = """\
[project]
name = "{name}"
version = "{version}"
description = "Rounds of c2lst: the installed packages do the work"

[tool.flwr.app]
publisher = "{publisher}"

[tool.flwr.app.components]
serverapp = "c2lst_rounds.server_app:app"
clientapp = "c2lst_rounds.client_app:app"

[tool.flwr.app.config]
{round} = ""
"""
_CLIENT_APP = '''\
"""Stands for the site's installed package."""

from c2lst_client.federation.boundary import app as app
'''
_SERVER_APP = '''\
"""Stands for the centre's installed package."""

from c2lst_server.federation.run import app as app
'''


@cache
def build_fab() -> bytes:
    """Return the FAB.

    It is a zip archive of stored (uncompressed) files in a fixed order with fixed dates, so that no library's version shows.
    """
    project = _PROJECT.format(name=NAME, version=_release(), publisher=PUBLISHER, round=ROUND)
    files = {
        "pyproject.toml": project,
        "c2lst_rounds/__init__.py": '"""A shim: see the installed packages."""\n',
        "c2lst_rounds/client_app.py": _CLIENT_APP,
        "c2lst_rounds/server_app.py": _SERVER_APP,
    }
    files[_MANIFEST] = "\n".join(
        f"{path},{hashlib.sha256(text.encode()).hexdigest()},{len(text.encode()) * 8}" for path, text in files.items()
    )
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as written:
        for path, text in files.items():
            entry = zipfile.ZipInfo(path, _ZIP_DATE)
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # the same on every operating system
            written.writestr(entry, text.encode())
    return archive.getvalue()


def fab_sha256() -> str:
    """Return the digest that sites pin."""
    return hashlib.sha256(build_fab()).hexdigest()


def _release() -> str:
    """The two first numbers of the package's version: a repair on one side does not change the FAB."""
    return ".".join([*version("c2lst").split(".")[:2], "0"])

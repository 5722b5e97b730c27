"""Try out metadata with a real TUF client before any site sees it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.ngclient import FetcherInterface, Updater

from c2lst_shared.errors import BadArtefact
from c2lst_shared.release.targets import served_path

_URL = "memory:/"


class _FromMemory(FetcherInterface):
    """Serves metadata by its file name from a function that returns None for what is not there."""

    def __init__(self, served: Callable[[str], bytes | None]) -> None:
        self._served = served

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.rpartition("/")[2]
        content = self._served(name)
        if content is None:
            raise DownloadHTTPError(f"{name} is not there", 404)
        yield content


def check_as_client(
    bootstrap: bytes,
    seen: Mapping[str, bytes],
    served: Callable[[str], bytes | None],
    folder: Path,
    paths: Iterable[str],
) -> None:
    """Check that a site would accept the metadata that `served` gives and find every target in it.

    Args:
        bootstrap: the root that the site pinned.
        seen: file name -> metadata that the site has already, so that a rollback is noticed.
        served: file name -> metadata as it will be served, None when it will not be there.
        folder: the folder of targets.
        paths: targets whose files must be in `folder` with the signed length and digest.

    Raises:
        BadArtefact: the site would refuse it.
    """
    with tempfile.TemporaryDirectory(prefix="c2lst-check-") as cache:
        for name, content in seen.items():
            Path(cache, name).write_bytes(content)
        try:
            updater = Updater(cache, _URL, fetcher=_FromMemory(served), bootstrap=bootstrap)
            updater.refresh()
            for path in paths:
                _check_target(updater, folder, path)
        except (RepositoryError, DownloadError, OSError) as error:
            raise BadArtefact(
                f"A site would refuse this metadata ({error}), so nothing was changed; run `c2lst-server renew` if something "
                "has expired, and check that keys and metadata belong together."
            ) from error


def _check_target(updater: Updater, folder: Path, path: str) -> None:
    info = updater.get_targetinfo(path)
    if info is None:
        raise RepositoryError(f"no role signs {path}")
    with (folder / served_path(path, info.hashes["sha256"])).open("rb") as file:
        info.verify_length_and_hashes(file)

"""The server's state folder: which file lies where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from c2lst_shared.errors import BadInput


@dataclass(frozen=True)
class Home:
    """Paths under the state folder of the central service (`--home`, C2LST_SERVER_HOME)."""

    path: Path

    @property
    def database(self) -> Path:
        """The embedded SQLite database."""
        return self.path / "c2lst.sqlite3"

    @property
    def keys(self) -> Path:
        """Private keys: root and targets encrypted, snapshot and timestamp readable by the owner only."""
        return self.path / "keys"

    @property
    def metadata(self) -> Path:
        """Signed TUF metadata, served under /tuf/metadata."""
        return self.path / "tuf" / "metadata"

    @property
    def targets(self) -> Path:
        """The files of the releases, served under /tuf/targets."""
        return self.path / "tuf" / "targets"

    @property
    def publishing_lock(self) -> Path:
        """Held while metadata is being changed."""
        return self.path / "tuf" / ".lock"

    @property
    def restored(self) -> Path:
        """From which version metadata goes on since the home was restored; there only when it was."""
        return self.path / "tuf" / "restored.json"

    @property
    def in_use(self) -> Path:
        """Held by every process that serves this home."""
        return self.path / ".in-use"

    @property
    def superlink(self) -> Path:
        """State, certificate, secrets and logs of Flower's SuperLink, and of the rounds that it carries."""
        return self.path / "superlink"

    def run(self, run_id: str) -> Path:
        """The folder of one training run."""
        return self.path / "runs" / run_id

    def check_initialised(self) -> None:
        """Check that `c2lst-server init` has been run here.

        Raises:
            BadInput: it has not.
        """
        if not (self.metadata / "timestamp.json").exists():
            raise BadInput(f"{self.path} is not initialised; run `c2lst-server init` first, or pass the right --home.")

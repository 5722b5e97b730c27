"""The on-site state folder: which file lies where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """Paths under the state folder of a site's client (`--home`, C2LST_HOME)."""

    path: Path

    @property
    def enrolment(self) -> Path:
        """The record of the enrolment; written last, so that it is there only when everything else is."""
        return self.path / "enrolment.json"

    @property
    def site_key(self) -> Path:
        """The site's private key, readable by the owner only."""
        return self.path / "identity" / "site.key"

    @property
    def next_site_key(self) -> Path:
        """The key that is about to take its place."""
        return self.path / "identity" / "site.next.key"

    @property
    def pinned_root(self) -> Path:
        """The root metadata that was pinned at enrolment; never replaced."""
        return self.path / "trust" / "root.json"

    @property
    def metadata(self) -> Path:
        """The newest metadata that was verified, kept by the TUF client."""
        return self.path / "trust" / "metadata"

    @property
    def seen(self) -> Path:
        """The latest moment and the newest releases that were seen."""
        return self.path / "trust" / "seen.json"

    @property
    def trust_lock(self) -> Path:
        """Held while trust or releases are being changed."""
        return self.path / "trust" / ".lock"

    @property
    def releases(self) -> Path:
        """Verified releases."""
        return self.path / "releases"

    def release(self, organ: str, number: int) -> Path:
        """The folder of one verified release."""
        return self.releases / organ / str(number)

    @property
    def quarantine(self) -> Path:
        """Releases that were withdrawn after they had been pulled."""
        return self.path / "quarantine"

    def quarantined(self, organ: str, number: int) -> Path:
        """The folder of one of them."""
        return self.quarantine / organ / str(number)

    @property
    def audit_log(self) -> Path:
        """What left this site and what came in."""
        return self.path / "audit.log"

    @property
    def federation(self) -> Path:
        """Keys, logs and folders of the processes of `c2lst-client join`."""
        return self.path / "federation"

    @property
    def join_processes(self) -> Path:
        """Says which processes of `c2lst-client join` live (`c2lst_shared.flower.heartbeat`)."""
        return self.federation / "processes.json"

    @property
    def contact(self) -> Path:
        """An empty file that is as old as the last answer of the centre to the SuperNode."""
        return self.federation / "contact"

    def site(self, name: str) -> Path:
        """The folder of one slide that is worked on."""
        return self.path / "sites" / name

    @property
    def policy(self) -> Path:
        """Which rounds the site takes part in, and what it sends; the cautious policy holds when there is none."""
        return self.path / "policy.json"

    @property
    def rounds(self) -> Path:
        """Work in rounds: the queue, and a folder per round."""
        return self.path / "rounds"

    @property
    def round_queue(self) -> Path:
        """The rounds that were offered and how far each is, an SQLite database."""
        return self.rounds / "queue.sqlite3"

    def round(self, round_id: str) -> Path:
        """The folder that one round works in."""
        return self.rounds / round_id

    @property
    def console(self) -> Path:
        """What the console keeps: its token and sessions."""
        return self.path / "console"

    @property
    def console_token(self) -> Path:
        """The token that opens the console, readable by the owner only."""
        return self.console / "token"

    @property
    def console_sessions(self) -> Path:
        """Digests of the sessions that are open."""
        return self.console / "sessions.json"

    @property
    def console_lock(self) -> Path:
        """Held by the console that is served."""
        return self.console / ".lock"

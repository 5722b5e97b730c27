"""What an institution sets for one installation: C2LST_* in the environment, or options of a command."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from c2lst_client.home import Home


class Settings(BaseSettings):
    """Installation settings. Every field can be set in the environment, for example C2LST_PROXY.

    The usual proxy variables (HTTPS_PROXY ...) and .netrc are not looked at, so that only what is set here for c2lst
    decides where its bytes go and what they carry.
    """

    model_config = SettingsConfigDict(env_prefix="C2LST_", frozen=True, extra="ignore")

    home: Path = Path("~/.local/share/c2lst")
    proxy: str | None = None  # for example http://proxy.hospital.example:3128

    @property
    def folders(self) -> Home:
        """The state folder."""
        return Home(self.home.expanduser().resolve())

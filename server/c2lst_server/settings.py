"""What an operator sets for one deployment: C2LST_SERVER_* in the environment, or options of a command.

In a container, secrets come as files: /run/secrets/c2lst_server_database_url is as good as C2LST_SERVER_DATABASE_URL.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import limits
from pydantic import AfterValidator, ByteSize, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from c2lst_server.home import Home
from c2lst_server.publishing.passphrase import read_passphrase_file
from c2lst_shared.errors import BadInput

SECRETS = Path("/run/secrets")  # where container engines put them


def _is_rate(text: str) -> str:
    limits.parse(text)  # ValueError where it is none
    return text


Rate = Annotated[str, AfterValidator(_is_rate)]  # for example 600/minute


class Settings(BaseSettings):
    """Deployment settings. Every field can be set in the environment, for example C2LST_SERVER_DATABASE_URL."""

    model_config = SettingsConfigDict(
        env_prefix="C2LST_SERVER_", frozen=True, extra="forbid", secrets_dir=SECRETS if SECRETS.is_dir() else None
    )

    home: Path = Path("~/.local/share/c2lst-server")
    database_url: str | None = None  # SQLAlchemy's spelling; None = SQLite in the home
    passphrase: SecretStr | None = None  # of the root and targets keys
    passphrase_file: Path | None = None  # a file whose first line is that passphrase
    images: Path | None = None  # holds the folders of images, or links to them, that queued trainings may name
    trainer_launcher: str | None = None  # starts the processes of a training, for example accelerate launch --num_processes 4
    rate_per_address: Rate = "600/minute"  # requests of one address, or of one /64 of IPv6
    rate_sign_in: Rate = "30/minute"  # enrolments and tokens of one address
    rate_per_site: Rate = "120/minute"  # requests of one site with its token
    least_free: ByteSize = ByteSize(256 << 20)  # bytes on the disk of the home below which the service is not ready

    @property
    def folders(self) -> Home:
        """The state folder."""
        return Home(self.home.expanduser().resolve())

    @property
    def database(self) -> str:
        """The database's URL."""
        return self.database_url or f"sqlite:///{self.folders.database}"

    @property
    def images_root(self) -> Path | None:
        """The folder that holds the images that queued trainings may name."""
        return None if self.images is None else self.images.expanduser().resolve()

    @property
    def has_passphrase(self) -> bool:
        """Whether the environment or an option says where the passphrase is."""
        return self.passphrase is not None or self.passphrase_file is not None

    def read_passphrase(self) -> str:
        """Return the passphrase of the encrypted keys.

        Raises:
            BadInput: none is set, or its file cannot be read.
        """
        if self.passphrase is not None:
            return self.passphrase.get_secret_value()
        if self.passphrase_file is not None:
            return read_passphrase_file(self.passphrase_file)
        raise BadInput("The keys are encrypted: pass --passphrase-file, or set C2LST_SERVER_PASSPHRASE.")

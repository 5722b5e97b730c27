"""Where SuperLink listens and what opens it: a certificate and secrets of its own, in its own folder.

SuperLink has one port for three APIs. Sites use the fleet API through the public proxy. The control API (who may connect, which
runs there are) and the runtime API (what runs exchange) are for this machine, and only for whoever can read this folder.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from c2lst_shared import atomic

PORT = 9092
LOOPBACK = "127.0.0.1"
NAME = "superlink.c2lst.internal"  # in its certificate: nginx compares names, not addresses
CERTIFICATE_LIFETIME, RENEW = timedelta(days=800), timedelta(days=60)


@dataclass(frozen=True)
class Link:
    """SuperLink's place in the server's home."""

    folder: Path
    port: int = PORT
    host: str = LOOPBACK  # where SuperLink listens; whatever that is, it can be reached by loopback

    @property
    def address(self) -> str:
        """Its host and port for this machine's processes."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def certificate(self) -> Path:
        """With what it proves itself to the proxy and to the rounds; vouches for itself."""
        return self.folder / "tls" / "certificate.pem"

    @property
    def private_key(self) -> Path:
        """Of that certificate."""
        return self.folder / "tls" / "private.key"

    @property
    def database(self) -> Path:
        """Flower's own SQLite database: nodes, runs and messages survive a restart. Its folder is the owner's only."""
        return self.folder / "state" / "state.sqlite3"

    @property
    def tasks_secret(self) -> Path:
        """Opens the runtime API."""
        return self.folder / "tasks.secret"

    @property
    def control_token_file(self) -> Path:
        """Opens the control API."""
        return self.folder / "control.token"

    def control_token(self) -> str:
        """Return the token of the control API; it is made when it is not there."""
        if not self.control_token_file.exists():
            atomic.write_text(self.control_token_file, secrets.token_urlsafe(32), mode=0o600)
        return self.control_token_file.read_text()

    def renew_certificate(self, now: datetime | None = None) -> bool:
        """Make a certificate when there is none, or it ends within two months; say whether one was made."""
        now = now or datetime.now(UTC)
        if self.certificate.exists() and self.private_key.exists():
            known = x509.load_pem_x509_certificate(self.certificate.read_bytes())
            if known.not_valid_after_utc - now > RENEW:
                return False
        key = generate_private_key(SECP256R1())
        atomic.write_bytes(self.private_key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "c2lst superlink")])
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(LOOPBACK)), x509.DNSName(NAME)])
        own = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + CERTIFICATE_LIFETIME)
            .add_extension(names, critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, SHA256())
        )
        atomic.write_bytes(self.certificate, own.public_bytes(Encoding.PEM))
        return True

"""A certificate authority for one test, and a server's key and certificate that it vouches for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Authority:
    """A certificate authority for one test."""

    key: EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()


def new_authority() -> Authority:
    """Make one that nobody else trusts."""
    key = generate_private_key(SECP256R1())
    others = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    no = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
    usage = x509.KeyUsage(key_cert_sign=True, crl_sign=True, **no)
    builder = _unsigned("test authority", key, timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return Authority(key, builder.add_extension(usage, critical=True).sign(key, SHA256()))


def server_files(authority: Authority, folder: Path, valid: timedelta = timedelta(days=1)) -> tuple[Path, Path]:
    """Write certificate and key of a server on loopback, valid from an hour ago for `valid` from now on."""
    key = generate_private_key(SECP256R1())
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    builder = _unsigned("server", key, valid).add_extension(names, critical=False)
    cert_path, key_path = folder / "server.pem", folder / "server.key"
    cert_path.write_bytes(builder.sign(authority.key, SHA256()).public_bytes(Encoding.PEM))
    key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return cert_path, key_path


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _unsigned(subject: str, key: EllipticCurvePrivateKey, valid: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    issuer, number = _name("test authority"), x509.random_serial_number()
    return x509.CertificateBuilder(issuer, _name(subject), key.public_key(), number, now - timedelta(hours=1), now + valid)

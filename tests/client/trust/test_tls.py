"""Only the certificate authority that was pinned at enrolment vouches for the server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from fakes.central import Central, serving

from c2lst_client.home import Home
from c2lst_client.trust.enrol import enrol
from c2lst_client.trust.pull import pull
from c2lst_shared.errors import TransferFailed


@dataclass(frozen=True)
class Authority:
    """A certificate authority for one test."""

    key: EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def unsigned(subject: str, issuer: str, key: EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(name(issuer), name(subject), key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )


def new_authority() -> Authority:
    key = generate_private_key(SECP256R1())
    others = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    no = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
    usage = x509.KeyUsage(key_cert_sign=True, crl_sign=True, **no)
    builder = unsigned("test authority", "test authority", key)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return Authority(key, builder.add_extension(usage, critical=True).sign(key, SHA256()))


def server_files(authority: Authority, folder: Path) -> tuple[Path, Path]:
    key = generate_private_key(SECP256R1())
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = unsigned("server", "test authority", key).add_extension(names, critical=False).sign(authority.key, SHA256())
    cert_path, key_path = folder / "server.pem", folder / "server.key"
    cert_path.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return cert_path, key_path


def test_server_of_the_pinned_authority_is_accepted(template: Central, home: Home, tmp_path: Path) -> None:
    authority, central = new_authority(), template.copy(tmp_path / "central")
    with serving(central, tls=server_files(authority, tmp_path)):
        enrolment = enrol(home, central.invite(tmp_path / "file.json", ca_pem=authority.pem))
        assert enrolment.server.startswith("https://")
        assert pull(home, "mob").downloaded
    central.engine.dispose()


@pytest.mark.parametrize("pinned", [True, False], ids=["other authority", "authorities of the system"])
def test_server_of_another_authority_gets_no_token(template: Central, home: Home, tmp_path: Path, pinned: bool) -> None:
    central = template.copy(tmp_path / "central")
    with serving(central, tls=server_files(new_authority(), tmp_path)):
        file = central.invite(tmp_path / "file.json", ca_pem=new_authority().pem if pinned else None)
        with pytest.raises(TransferFailed, match=r"is not one that this site accepts .*CERTIFICATE_VERIFY_FAILED"):
            enrol(home, file)
    central.engine.dispose()
    assert not home.enrolment.exists()
    assert json.loads(home.audit_log.read_text())["bytes_out"] == 0

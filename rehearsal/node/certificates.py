"""The rehearsal's root certificate: made once for each machine and trusted by the images that are built here.

Owns the root's two files. Does not own the certificates below it: the authority (Caddy's ACME server) issues those, and
the cluster's own PKI is another one.
"""

import datetime
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFETIME_DAYS = 3650
"""As long as a cache may live; the key never leaves the machine, and nothing but the rehearsal trusts the root."""


@dataclass(frozen=True)
class Root:
    """Where the root certificate (PEM) and its key (PEM, mode 0600) lie."""

    certificate: Path
    key: Path


def ensure_root(folder: Path) -> Root:
    """The root in `folder`, made if it is not whole there."""
    root = Root(folder / "root.crt", folder / "root.key")
    if root.certificate.exists() and root.key.exists():
        return root
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    _write(root.key, _private(key), mode=0o600)
    # The certificate last: a folder that has it has the key as well.
    _write(root.certificate, _self_signed(key), mode=0o644)
    return root


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    return key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, plain)


def _self_signed(key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "slm rehearsal root (this machine only)")])
    now = datetime.datetime.now(datetime.UTC)
    usage = x509.KeyUsage(
        key_cert_sign=True,
        crl_sign=True,
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=LIFETIME_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=2), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(file: Path, content: bytes, *, mode: int) -> None:
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as output:
        output.write(content)
    temporary.replace(file)

"""The cluster's own certificates: made once in a folder, made again when they are about to expire.

Owns the files `NAME.crt` and `NAME.key` (0600) of each of `USERS`, the authorities `ca` and `front-ca`, and the service
accounts' signing key `sa.key` with `sa.pub`. Kubeconfigs hold their certificates, so
they work wherever they are copied.
"""

import base64
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS = 365
RENEW_DAYS = 30
"""Certificates with less than this left are made again at the next start."""
API_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True)
class User:
    """Whom a client certificate speaks for, in Kubernetes' own terms."""

    common_name: str
    organization: str | None = None


USERS = {
    "admin": User("admin", "system:masters"),
    "controller-manager": User("system:kube-controller-manager"),
    "scheduler": User("system:kube-scheduler"),
    "proxy": User("system:kube-proxy"),
    "dns": User("system:coredns", "system:masters"),
    "kwok": User("kwok", "system:masters"),
    "apiserver-kubelet": User("apiserver-kubelet-client", "system:masters"),
}


def ensure(folder: Path, addresses: Sequence[str], node: str | None = None) -> bool:
    """Have every certificate in `folder`; whether they had to be made, and what runs has to be started again.

    `addresses` are the API server's IP addresses, the first Service address included; with a `node`, its kubelet gets
    a certificate for its name and these addresses as well.
    """
    wanted = json.dumps({"addresses": sorted(addresses), "node": node})
    stamp = folder / "made-for.json"
    if stamp.exists() and stamp.read_text() == wanted and _fresh(folder / "ca.crt"):
        return False
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    stamp.unlink(missing_ok=True)
    authority = _Authority(folder, "ca")
    authority.issue("apiserver", User("kube-apiserver"), API_NAMES, addresses)
    for name, user in USERS.items():
        authority.issue(name, user)
    if node is not None:
        authority.issue("kubelet", User(f"system:node:{node}", "system:nodes"), (node, "localhost"), addresses)
    _Authority(folder, "front-ca").issue("front-proxy", User("front-proxy"))
    if not (folder / "sa.pub").exists():  # it does not expire, and tokens that it signed are about
        _signing_key(folder)
    stamp.write_text(wanted)
    return True


def kubeconfig(folder: Path, user: str, server: str) -> str:
    """A kubeconfig (YAML, by way of JSON) for one of `USERS` or `kubelet` at the URL `server`."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "slm", "cluster": {"server": server, "certificate-authority-data": _data(folder / "ca.crt")}}
            ],
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate-data": _data(folder / f"{user}.crt"),
                        "client-key-data": _data(folder / f"{user}.key"),
                    },
                }
            ],
            "contexts": [{"name": "slm", "context": {"cluster": "slm", "user": user}}],
            "current-context": "slm",
        },
        indent=1,
    )


def write_kubeconfig(target: Path, folder: Path, user: str, server: str) -> None:
    """Write `kubeconfig(...)` to a file that only its owner reads."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _write(target, kubeconfig(folder, user, server).encode())


_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    crl_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


class _Authority:
    """A certificate authority whose key stays in the folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"slm {name}")])
        certificate = (
            _builder(self._subject, self._subject, self._key, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_SIGNS_CERTIFICATES, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        _write_pair(folder, name, certificate, self._key)

    def issue(self, name: str, user: User, names: Sequence[str] = (), addresses: Sequence[str] = ()) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, user.common_name)]
        if user.organization:
            attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, user.organization))
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = _builder(x509.Name(attributes), self._subject, key, self._key).add_extension(
            x509.ExtendedKeyUsage(usages), critical=False
        )
        alternatives = [
            *(x509.DNSName(text) for text in names),
            *(x509.IPAddress(ipaddress.ip_address(text)) for text in addresses),
        ]
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        _write_pair(self._folder, name, builder.sign(self._key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        # Strict clients, Python's from 3.13 on among them, want both.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _signing_key(folder: Path) -> None:
    # RSA: Azure's OIDC issuers sign service accounts' tokens so, and federated credentials are checked against it.
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    _write(folder / "sa.key", _private(key))
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write(folder / "sa.pub", public)


def _fresh(certificate: Path) -> bool:
    if not certificate.exists():
        return False
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    return found.not_valid_after_utc > datetime.now(UTC) + timedelta(days=RENEW_DAYS)


def _write_pair(folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    _write(folder / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM))
    _write(folder / f"{name}.key", _private(key))


def _private(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _write(file: Path, content: bytes) -> None:
    unfinished = file.with_name(f".{file.name}.new")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    unfinished.write_bytes(content)
    unfinished.replace(file)


def _data(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()

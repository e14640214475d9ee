"""The cluster's certificates."""

import json
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from rehearsal.control import pki

ADDRESSES = ("127.0.0.1", "10.96.0.1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pki.ensure(tmp_path / "pki", ADDRESSES, "node-1")
    return tmp_path / "pki"


def _certificate(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def test_nobody_else_reads_a_key(folder: Path) -> None:
    assert {stat.S_IMODE(key.stat().st_mode) for key in folder.glob("*.key")} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_every_certificate_comes_from_its_authority_and_lasts_a_year(folder: Path) -> None:
    for file in folder.glob("*.crt"):
        authority = "front-ca" if file.stem.startswith("front-") else "ca"
        found = _certificate(file)
        found.verify_directly_issued_by(_certificate(folder / f"{authority}.crt"))
        assert timedelta(days=364) < found.not_valid_after_utc - datetime.now(UTC) < timedelta(days=366)


def test_the_api_server_is_known_by_its_addresses_and_names(folder: Path) -> None:
    names = _certificate(folder / "apiserver.crt").extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == list(ADDRESSES)
    assert "kubernetes.default.svc" in names.get_values_for_type(x509.DNSName)


def test_a_kubelet_speaks_for_its_own_node_only(folder: Path) -> None:
    assert _certificate(folder / "kubelet.crt").subject.rfc4514_string() == "O=system:nodes,CN=system:node:node-1"


def test_what_is_there_is_kept(folder: Path) -> None:
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    assert pki.ensure(folder, ADDRESSES, "node-1") is False

    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_certificates_are_made_again_before_they_expire(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, signer = (folder / "ca.crt").read_bytes(), (folder / "sa.key").read_bytes()
    monkeypatch.setattr(pki, "RENEW_DAYS", pki.VALID_DAYS + 1)

    assert pki.ensure(folder, ADDRESSES, "node-1") is True

    assert (folder / "ca.crt").read_bytes() != before
    # What the old key signed, tokens in running pods, stays good.
    assert (folder / "sa.key").read_bytes() == signer


def test_another_address_needs_other_certificates(folder: Path) -> None:
    assert pki.ensure(folder, ("127.0.0.1", "10.0.0.1"), "node-1") is True
    _certificate(folder / "apiserver.crt").verify_directly_issued_by(_certificate(folder / "ca.crt"))


def test_making_them_that_was_cut_off_is_done_over(folder: Path) -> None:
    (folder / "made-for.json").unlink()
    (folder / "scheduler.key").unlink()
    (folder / "ca.crt").unlink()

    assert pki.ensure(folder, ADDRESSES, "node-1") is True
    ssl.create_default_context(cafile=folder / "ca.crt").load_cert_chain(
        folder / "scheduler.crt", folder / "scheduler.key"
    )


def test_a_kubeconfig_stands_alone_and_is_private(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "admin.kubeconfig"
    pki.write_kubeconfig(target, folder, "admin", "https://127.0.0.1:6443")

    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert str(folder) not in target.read_text()
    assert json.loads(target.read_text())["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"

"""The local OCI registry, asked whether it has an image."""

from dataclasses import dataclass
from http import HTTPStatus

import httpx

_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)


@dataclass(frozen=True)
class LocalRegistry:
    """Where the registry is: an `http://` URL, the path of a unix socket, or nowhere."""

    address: str = ""

    def missing(self, image: str) -> str:
        """Why an image, `repository:tag`, cannot be had; empty if it can, or if there is no registry to ask."""
        if not self.address:
            return ""
        repository, _, tag = image.partition(":")
        is_url = self.address.startswith("http")
        transport = None if is_url else httpx.HTTPTransport(uds=self.address)
        url = f"{self.address.rstrip('/') if is_url else 'http://registry'}/v2/{repository}/manifests/{tag or 'latest'}"
        try:
            with httpx.Client(transport=transport, timeout=5, trust_env=False) as client:
                answer = client.head(url, headers={"Accept": _MANIFESTS})
        except httpx.HTTPError as error:
            return f"the local registry does not answer ({type(error).__name__})"
        if answer.status_code == HTTPStatus.OK:
            return ""
        return f"the local registry answers {answer.status_code} for {repository}:{tag or 'latest'}"

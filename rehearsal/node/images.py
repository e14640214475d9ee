"""Builds the stack's images from their recipes and puts them into the node's registry, once.

Owns the image builder's private storage in the cache. What is in the registry is recognised by a label with the
recipe's fingerprint, so nothing is built or pushed twice. Does not own the registry process (`node`) nor the recipes.

Not checked:
- Images are built here and pushed without a login; an ACR task, its pull rights and its cache rules are not exercised.
- Image signatures, scanning and multi-architecture manifests.
"""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import httpx

from rehearsal.errors import RehearsalError
from rehearsal.node.certificates import Root
from rehearsal.node.debian import ensure_base
from rehearsal.node.isolation import run_isolated
from rehearsal.node.recipes import ImageRequest, Recipe, base, pause

LABEL = "slm.rehearsal.fingerprint"
HOST_ROOTS = Path("/etc/ssl/certs/ca-certificates.crt")
"""Debian's list of roots; a build's RUN sees this machine's own, which may know a proxy or a mirror of the owner's."""
HOST_PIP = Path("/etc/pip.conf")
BIND_SERVICE = bytes.fromhex("0100000200040000000000000000000000000000")
"""The extended attribute that `setcap cap_net_bind_service=+ep` writes: revision 2 with the effective bit, permitted
bit 10 (linux/capability.h), nothing inheritable."""
_MANIFEST = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


class ImageStore:
    """Images built on this machine. `folder` is in the cache; one builder works in it at a time."""

    def __init__(self, folder: Path, root: Root, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._root = root
        self._say = say

    def base(self) -> str:
        """The name of the Python base in the builder's storage, for a Dockerfile's `PYTHON_IMAGE` argument.

        Raises:
            RehearsalError: if it cannot be made.
        """
        request = self.base_request()
        with self._locked():
            return self._build(request)

    def base_request(self) -> ImageRequest:
        """The base itself as an image of the registry."""
        with self._locked():
            archive = ensure_base(self._folder, self._root.certificate, self._say)
        return ImageRequest("slm-base", "1", base(archive))

    def roots(self) -> Path:
        """This machine's list of roots with the rehearsal's own at the end, for images that have no base."""
        bundle = self._folder / "roots.crt"
        self._folder.mkdir(parents=True, exist_ok=True)
        text = HOST_ROOTS.read_bytes() if HOST_ROOTS.exists() else b""
        bundle.write_bytes(text + self._root.certificate.read_bytes())
        return bundle

    def build(self, wanted: Sequence[ImageRequest]) -> None:
        """Build what the builder's storage lacks. Needs no registry, so it can run while the node starts.

        Raises:
            RehearsalError: if a build fails.
        """
        with self._locked():
            for request in wanted:
                self._build(request)

    def ensure(self, wanted: Sequence[ImageRequest], registry: str) -> list[str]:
        """Have every wanted image in the registry at `registry` ("host:port"); answers the names that were pushed.

        Raises:
            RehearsalError: if a build or a push fails.
        """
        pushed: list[str] = []
        with self._locked():
            for request in wanted:
                if fingerprint_in(registry, request.repository, request.tag) == request.recipe.fingerprint:
                    continue
                local = self._build(request)
                self._say(f"pushing {request.repository}:{request.tag}")
                target = f"docker://{registry}/{request.repository}:{request.tag}"
                self._buildah(["push", "--tls-verify=false", "--quiet", local, target], f"push {request.repository}")
                pushed.append(f"{request.repository}:{request.tag}")
        return pushed

    def _build(self, request: ImageRequest) -> str:
        recipe = request.recipe
        local = f"localhost/{request.repository}:{recipe.fingerprint}"
        if self._has(local):
            return local
        self._say(f"building {request.repository}")
        self._buildah(["rm", "--all"], "clear away what an interrupted build left")
        with self._context(recipe) as context:
            file = context / ".slm.Dockerfile" if "" not in recipe.files else recipe.files[""] / "Dockerfile"
            self._buildah(_build_arguments(recipe, local, file, context), f"build the image {request.repository}")
        self._remember(local)
        return local

    @contextmanager
    def _context(self, recipe: Recipe) -> Generator[Path]:
        if "" in recipe.files:
            yield recipe.files[""]
            return
        with tempfile.TemporaryDirectory(prefix="context-", dir=self._folder) as name:
            context = Path(name)
            (context / ".slm.Dockerfile").write_text(recipe.dockerfile)
            for target, source in recipe.files.items():
                shutil.copyfile(source, context / target)
                (context / target).chmod(0o755 if os.access(source, os.X_OK) else 0o644)
            for executable in recipe.executables:
                os.setxattr(context / executable, "security.capability", BIND_SERVICE)
            yield context

    def _has(self, local: str) -> bool:
        return local in self._built()

    def _built(self) -> list[str]:
        """What the storage holds; kept beside it, because asking the builder costs a second each time."""
        file = self._folder / "built.json"
        return json.loads(file.read_text()) if file.exists() else []

    def _remember(self, local: str) -> None:
        file = self._folder / "built.json"
        temporary = file.with_suffix(".new")
        temporary.write_text(json.dumps([*self._built(), local], indent=1))
        temporary.replace(file)

    def _buildah(self, arguments: Sequence[str], purpose: str) -> None:
        run = self._folder / "run"
        # What a killed builder left here would be read as mounts that still exist.
        shutil.rmtree(run, ignore_errors=True)
        configuration = self._folder / "storage.conf"
        configuration.write_text(
            f'[storage]\ndriver = "overlay"\nrunroot = "{run}"\ngraphroot = "{self._folder / "storage"}"\n'
        )
        variables = {"BUILDAH_ISOLATION": "chroot", "CONTAINERS_STORAGE_CONF": str(configuration)}
        run_isolated(["buildah", *arguments], purpose, log=self._folder / f"{arguments[0]}.log", env=variables)

    @contextmanager
    def _locked(self) -> Generator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def fingerprint_in(registry: str, repository: str, tag: str) -> str | None:
    """The fingerprint of an image that the registry has under this name; None for none, or a stranger's image.

    Raises:
        RehearsalError: if the registry does not answer.
    """
    with httpx.Client(base_url=f"http://{registry}/v2/{repository}", timeout=10, trust_env=False) as client:
        try:
            manifest = client.get(f"/manifests/{tag}", headers={"Accept": _MANIFEST})
            if manifest.status_code == HTTPStatus.NOT_FOUND:
                return None
            manifest.raise_for_status()
            blob = client.get(f"/blobs/{manifest.json()['config']['digest']}").raise_for_status()
        except httpx.HTTPError as error:
            raise RehearsalError(
                f"The registry at {registry} does not answer: {error}", "See the node's registry.log"
            ) from error
    labels: dict[str, str] = blob.json().get("config", {}).get("Labels") or {}
    return labels.get(LABEL)


def _build_arguments(recipe: Recipe, local: str, dockerfile: Path, context: Path) -> list[str]:
    # Configuration of this machine (its roots, its package index) is bound into RUN, never part of the image.
    binds = [f"{file}:{file}:ro" for file in (HOST_ROOTS, HOST_PIP) if file.exists()]
    return [
        "bud",
        "--pull-never",
        "--layers",
        "--timestamp=0",
        *(part for bind in binds for part in ("--volume", bind)),
        *(part for name, value in recipe.arguments.items() for part in ("--build-arg", f"{name}={value}")),
        *(("--target", recipe.target) if recipe.target else ()),
        *("--label", f"{LABEL}={recipe.fingerprint}", "--tag", local, "--file", str(dockerfile), str(context)),
    ]


def node_images(store: ImageStore, pause_binary: Path) -> list[ImageRequest]:
    """What the node itself pulls: the container that holds a pod, and the one that makes a volume's folder."""
    return [ImageRequest("slm-pause", "1", pause(pause_binary)), store.base_request()]

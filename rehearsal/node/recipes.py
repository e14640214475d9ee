"""What an image is made from: a Dockerfile, the files it copies, and a fingerprint of all that.

Pure but for reading the files. Does not own building or pushing (`images`), nor the base's file system (`debian`).
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

FINGERPRINT_CHARACTERS = 16
_IGNORED = frozenset({"__pycache__", ".venv", ".pytest_cache", ".ruff_cache", ".git"})


@dataclass(frozen=True)
class Recipe:
    """A Dockerfile and its context.

    `files` maps a path in the context to a file or folder of this machine; `""` is the context itself. `executables`
    names the files that get capabilities when they are run, as `setcap` would write them. `identity`, where given,
    stands for the files' content in the fingerprint (for files too large to read each time).
    """

    dockerfile: str
    files: Mapping[str, Path] = field(default_factory=dict[str, Path])
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict[str, str])
    executables: tuple[str, ...] = ()
    identity: str = ""

    @cached_property
    def fingerprint(self) -> str:
        """Changes whenever anything that goes into the image changes; lower-case hexadecimal. Read once."""
        digest = hashlib.sha256()
        arguments = repr(sorted(self.arguments.items()))
        for text in (self.dockerfile, self.target, arguments, repr(self.executables), self.identity):
            digest.update(text.encode() + b"\0")
        if self.identity:
            return digest.hexdigest()[:FINGERPRINT_CHARACTERS]
        for name, source in sorted(self.files.items()):
            for relative, file in _walk(source):
                digest.update(f"{name}/{relative}\0{file.stat().st_mode & 0o111}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()[:FINGERPRINT_CHARACTERS]


@dataclass(frozen=True)
class ImageRequest:
    """An image that the cluster will pull as `<any registry>/<repository>:<tag>`."""

    repository: str
    tag: str
    recipe: Recipe


def from_folder(folder: Path, *, target: str = "", arguments: Mapping[str, str] | None = None) -> Recipe:
    """The recipe of a folder with a Dockerfile, such as `runtimes/onnx`."""
    return Recipe((folder / "Dockerfile").read_text(), {"": folder}, target, arguments or {})


def caddy(binary: Path, roots: Path) -> Recipe:
    """Like the official Caddy image where it matters to a pod: paths, command, and the binary's file capability.

    The capability is why a container that drops all of them must add NET_BIND_SERVICE, here as in the cloud.
    """
    dockerfile = """\
FROM scratch
COPY caddy /usr/bin/caddy
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV PATH=/usr/bin XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data
WORKDIR /srv
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
"""
    return Recipe(dockerfile, {"caddy": binary, "ca-certificates.crt": roots}, executables=("caddy",))


def pause(binary: Path) -> Recipe:
    """The container that holds a pod's namespaces."""
    dockerfile = 'FROM scratch\nCOPY pause /pause\nUSER 65535\nENTRYPOINT ["/pause"]\n'
    return Recipe(dockerfile, {"pause": binary})


def base(archive: Path) -> Recipe:
    """The Debian base with Python, from its file system's archive; stands for a slim Python image.

    Python's HTTP clients bring their own list of roots: the variables point them to the system's, where the
    rehearsal's root is.
    """
    dockerfile = """\
FROM scratch
ADD base.tar /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \\
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
CMD ["python3"]
"""
    return Recipe(dockerfile, {"base.tar": archive}, identity=archive.stem)


def _walk(source: Path) -> Iterator[tuple[str, Path]]:
    if source.is_file():
        yield "", source
        return
    for file in sorted(source.rglob("*")):
        relative = file.relative_to(source)
        if file.is_file() and not _IGNORED.intersection(relative.parts) and file.suffix != ".pyc":
            yield relative.as_posix(), file

"""GET /whoami says who runs here; /files/NAME reads and writes the volume, /secret/NAME reads a mounted secret, and
/fetch/HOST/PATH asks a public name.
"""

import json
import os
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import packaging

FOLDERS = {"files": Path("/data"), "secret": Path("/secrets")}


class Handler(BaseHTTPRequestHandler):
    """The whole application."""

    def do_GET(self) -> None:
        """Say who we are, or what a file holds."""
        if self.path == "/whoami":
            found = {"host": os.uname().nodename, "uid": os.getuid(), "packaging": packaging.__version__}
            self.answer(200, json.dumps(found).encode())
            return
        if self.path.startswith("/fetch/"):
            self.fetch(f"https://{self.path.removeprefix('/fetch/')}")
            return
        _, kind, name = self.path.split("/")
        file = FOLDERS[kind] / name
        self.answer(200, file.read_bytes()) if file.exists() else self.answer(404, b"")

    def fetch(self, url: str) -> None:
        """What a public name answers, with the certificate checked against the image's own roots."""
        with urllib.request.urlopen(url) as answer:
            self.answer(200, answer.read())

    def do_PUT(self) -> None:
        """Keep the body."""
        _, kind, name = self.path.split("/")
        (FOLDERS[kind] / name).write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(204, b"")

    def answer(self, status: int, body: bytes) -> None:
        """Send it all."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()

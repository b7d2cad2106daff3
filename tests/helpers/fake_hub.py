"""A Hugging Face hub on 127.0.0.1 that serves a folder as one model; it can misbehave.

It speaks what huggingface_hub asks for: the description of a model, its list of files, and the
files themselves with ranges, entity tags and the error codes of the real one.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeHub:
    """What the server serves and what was asked of it.

    Attributes:
        repository: the one model it knows, `owner/name`.
        folder: its files; those of safetensors are large files, as on the real hub.
        token: if set, the model is gated and only a request with this token gets files.
        cut_after: if set, every download breaks off after this many bytes.
        stall_after: if set, a download that is longer stops there, and `stalled` is set.
        ranges: (file, first byte) of every download that began.
    """

    repository: str
    folder: Path
    token: str | None = None
    cut_after: int | None = None
    stall_after: int | None = None
    ranges: list[tuple[str, int]] = field(default_factory=list)
    stalled: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def files(self) -> list[dict]:
        return [_described(path) for path in sorted(self.folder.iterdir()) if path.is_file()]


@contextlib.contextmanager
def served(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve the hub on a free port while the block runs."""

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _described(path: Path) -> dict:
    content = path.read_bytes()
    entry = {
        "type": "file",
        "path": path.name,
        "size": len(content),
        "oid": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
    }
    if path.suffix == ".safetensors":
        digest = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 134}
    return entry


class _Handler(http.server.BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *words) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        path = urllib.parse.unquote(urllib.parse.urlparse(self.path).path)
        name = re.escape(self.hub.repository)
        if re.fullmatch(rf"/api/models/{name}/auth-check", path):
            self._json({}) if self._is_allowed() else self._refuse()
        elif re.fullmatch(rf"/api/models/{name}/revision/(main|{COMMIT})", path):
            self._json(self._description())
        elif re.fullmatch(rf"/api/models/{name}/tree/{COMMIT}", path):
            self._json(self.hub.files())
        elif found := re.fullmatch(rf"/{name}/resolve/{COMMIT}/([^/]+)", path):
            self._file(found[1], with_body) if self._is_allowed() else self._refuse()
        elif re.match(rf"/(api/models/)?{name}/", path):
            self._error(404, "RevisionNotFound")
        else:
            self._error(404, "RepoNotFound")

    def _is_allowed(self) -> bool:
        token = self.hub.token
        return token is None or self.headers.get("Authorization") == f"Bearer {token}"

    def _refuse(self) -> None:
        self._error(403 if self.headers.get("Authorization") else 401, "GatedRepo")

    def _description(self) -> dict:
        siblings = [
            {"rfilename": file["path"], "size": file["size"], "blobId": file["oid"]}
            | ({"lfs": file["lfs"] | {"sha256": file["lfs"]["oid"]}} if "lfs" in file else {})
            for file in self.hub.files()
        ]
        gated = False if self.hub.token is None else "manual"
        repository = self.hub.repository
        made = {"id": repository, "modelId": repository, "sha": COMMIT, "private": False}
        return made | {"gated": gated, "tags": [], "downloads": 0, "likes": 0, "siblings": siblings}

    def _error(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _json(self, value) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _file(self, name: str, with_body: bool) -> None:
        [entry] = [file for file in self.hub.files() if file["path"] == name]
        content = (self.hub.folder / name).read_bytes()
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(found[1]) if found else 0
        self.send_response(206 if found else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{entry.get("lfs", entry)["oid"]}"')
        self.send_header("Accept-Ranges", "bytes")
        if found:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        if not with_body:
            return
        self.hub.ranges.append((name, first))
        body, limit, stall = content[first:], self.hub.cut_after, self.hub.stall_after
        if stall is not None and stall < len(body):
            self.wfile.write(body[:stall])
            self.hub.stalled.set()
            self.hub.released.wait(120)
            self.close_connection = True
            return
        self.wfile.write(body if limit is None else body[:limit])
        if limit is not None and limit < len(body):
            self.close_connection = True

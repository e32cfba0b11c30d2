"""A stand-in for the Hugging Face hub on 127.0.0.1: the few routes that a snapshot download uses, serving a folder."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class HubState:
    """What is served, what is to go wrong, and what was asked."""

    repository: str
    directory: Path
    break_after: int | None = None  # bytes of a large file after which every connection is cut
    requested: list[str] = field(default_factory=list)  # paths of the files asked for with GET
    ranges: list[str] = field(default_factory=list)  # the Range headers among them

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.directory)) for path in self.directory.rglob("*") if path.is_file())


def _handler(state: HubState) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Tests print nothing."""

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self._send(body)

        def _send(self, body: bytes) -> None:
            if state.break_after is not None and len(body) > state.break_after:
                self.wfile.write(body[: state.break_after])
                self.close_connection = True
            else:
                self.wfile.write(body)

        def _missing(self) -> None:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

        def _file(self, name: str) -> None:
            body = (state.directory / name).read_bytes()
            headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": COMMIT}
            if self.command == "GET":
                state.requested.append(name)
            if (wanted := self.headers.get("Range")) is not None:
                state.ranges.append(wanted)
                start = int(wanted.removeprefix("bytes=").split("-")[0])
                headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
                self._answer(206, body[start:], headers)
            else:
                self._answer(200, body, headers)

        def do_GET(self) -> None:
            resolve = f"/{state.repository}/resolve/{COMMIT}/"
            if self.path.split("?")[0].startswith(f"/api/models/{state.repository}"):
                info = {"id": state.repository, "sha": COMMIT, "siblings": [{"rfilename": n} for n in state.files()]}
                self._answer(200, json.dumps(info).encode(), {"Content-Type": "application/json"})
            elif self.path.startswith(resolve):
                self._file(self.path.removeprefix(resolve))
            else:
                self._missing()

        def do_HEAD(self) -> None:
            self.do_GET()

    return Handler


class HubStandIn:
    """The server, for use in a `with` statement."""

    def __init__(self, state: HubState) -> None:
        self.state = state
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "HubStandIn":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

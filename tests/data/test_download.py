"""Downloads from a server that fails in every way there is: never a bad file in place, always one line."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from minform_cli.data import download
from minform_cli.data.download import Policy, Remote, fetch
from minform_cli.errors import InputError, MachineError
from tests.waiting import HANGS_S

CONTENT = b"the right file " * 10_000
# Plain http is for the server below alone; it is a setting of the call, not of the user.
POLICY = Policy(schemes=("http",), timeout_s=HANGS_S, attempts=3, backoff_s=0.01)
SHORT_S = 0.3

Answer = Callable[[BaseHTTPRequestHandler], None]


def good(handler: BaseHTTPRequestHandler) -> None:
    send(handler, CONTENT)


def send(handler: BaseHTTPRequestHandler, content: bytes, declared: int | None = None) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content) if declared is None else declared))
    handler.end_headers()
    handler.wfile.write(content)


def status(code: int) -> Answer:
    return lambda handler: handler.send_error(code)


def cut(handler: BaseHTTPRequestHandler) -> None:
    send(handler, CONTENT[:1000], declared=len(CONTENT))


def wrong(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"x" + CONTENT[1:])


def hang(handler: BaseHTTPRequestHandler) -> None:
    """Says nothing until the other side has gone."""
    handler.connection.settimeout(HANGS_S)
    handler.connection.recv(1)


def drip(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):
        for byte in CONTENT:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(SHORT_S / 4)


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(bytes(65536))


def redirect(target: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.end_headers()

    return answer


class Server:
    """Gives the answers it was told, in turn; the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [good]
        self.requests = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                number = min(server.requests, len(server.answers) - 1)
                server.requests += 1
                with contextlib.suppress(OSError):
                    server.answers[number](self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that is waited for as long as it takes, but where it is to hang or to drip."""
    monkeypatch.delenv("MINFORM_OFFLINE")
    made, open_, receive = Server(), download._open, download._receive

    def patience_with(*short: Answer) -> float:
        return SHORT_S if made.answers[min(made.requests, len(made.answers) - 1)] in short else HANGS_S

    def opened(url: str, policy: Policy) -> HTTPResponse:
        return open_(url, replace(policy, timeout_s=patience_with(hang)))

    def received(url: str, temporary: Path, policy: Policy) -> None:
        receive(url, temporary, replace(policy, timeout_s=patience_with(hang, drip)))

    monkeypatch.setattr(download, "_open", opened)
    monkeypatch.setattr(download, "_receive", received)
    yield made
    made.http.shutdown()
    made.http.server_close()


def problem(path: Path) -> str | None:
    right = hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(CONTENT).digest()
    return None if right else "wrong SHA-256"


def remote(*urls: str) -> Remote:
    return Remote("file.bin", tuple(url + "file.bin" for url in urls), problem)


def left_in(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock")) if folder.exists() else []


@pytest.mark.parametrize(
    "answers",
    [[good], [status(500), good], [status(503), status(429), good], [cut, good], [hang, good], [drip, good]],
    ids=["good", "500", "503-429", "cut", "hang", "drip"],
)
def test_what_passes_is_tried_again(server: Server, tmp_path: Path, answers: list[Answer]) -> None:
    server.answers = answers
    path = fetch(remote(server.url), tmp_path / "new" / "folder", POLICY)
    assert path.read_bytes() == CONTENT
    assert left_in(path.parent) == ["file.bin"]
    assert server.requests == len(answers)
    assert fetch(remote(server.url), path.parent, POLICY) == path
    assert server.requests == len(answers)


@pytest.mark.parametrize(
    ("answer", "reason", "requests"),
    [
        (status(403), "answered 403", 1),
        (status(404), "answered 404", 1),
        (status(500), "answered 500", 3),
        (cut, "cut the connection after 1000 of", 3),
        (hang, "timed out", 3),
        (drip, "too slow", 3),
        (wrong, "wrong SHA-256", 1),
        (endless, "more than", 1),
        (redirect("http://127.0.0.1:9/\x1b[31m"), "refused", 3),
        (redirect("ftp://127.0.0.1/file"), "redirects to ftp", 1),
        (redirect("file:///etc/hostname"), "answered 302", 1),
    ],
    ids=["403", "404", "500", "cut", "hang", "drip", "wrong", "endless", "dead-end", "ftp", "file"],
)
def test_what_does_not_pass_leaves_nothing_and_says_what_to_do(
    server: Server, tmp_path: Path, refused, answer: Answer, reason: str, requests: int
) -> None:
    server.answers = [answer]
    policy = replace(POLICY, max_bytes=2**20)
    message = refused(InputError, fetch, remote(server.url), tmp_path / "data", policy)
    assert reason in message.lower() or reason in message
    assert server.url + "file.bin" in message
    assert str(tmp_path / "data") in message
    assert left_in(tmp_path / "data") == []
    assert server.requests == requests


def test_a_redirect_from_https_to_http_is_refused() -> None:
    handler = download._Redirects(("https",))
    request = download.urllib.request.Request("https://a.invalid/x")
    with pytest.raises(download._FailedError, match="redirects to http"):
        handler.redirect_request(request, None, 302, "", None, "http://a.invalid/x")
    assert handler.redirect_request(request, None, 302, "", None, "https://b.invalid/x") is not None


def test_only_https_is_asked_for_by_default(server: Server, tmp_path: Path, refused) -> None:
    assert "is not https" in refused(InputError, fetch, remote(server.url), tmp_path)
    assert server.requests == 0


def test_the_second_mirror_serves_when_the_first_does_not(server: Server, tmp_path: Path) -> None:
    server.answers = [wrong, good]
    path = fetch(remote(server.url, server.url + "second/"), tmp_path, POLICY)
    assert path.read_bytes() == CONTENT
    assert server.requests == 2


def test_no_network_is_one_line(tmp_path: Path, refused, monkeypatch) -> None:
    monkeypatch.delenv("MINFORM_OFFLINE")

    def no_resolver(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_resolver)
    monkeypatch.setattr(download.time, "sleep", lambda _: pytest.fail("a name that does not resolve is waited for"))
    message = refused(InputError, fetch, remote("https://mirror.invalid/", "https://other.invalid/"), tmp_path)
    assert "Name or service not known" in message
    assert "https://mirror.invalid/file.bin" in message


def test_offline_opens_no_socket(tmp_path: Path, refused, monkeypatch) -> None:
    def opened(*args: object, **kwargs: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", opened)
    monkeypatch.setattr(socket, "getaddrinfo", opened)
    message = refused(InputError, fetch, remote("https://mirror.invalid/"), tmp_path / "data")
    assert "MINFORM_OFFLINE" in message
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "No space left"), (errno.EACCES, "Permission"), (errno.EIO, "Input/output")]
)
@pytest.mark.parametrize("call", ["open", "fsync", "replace", "mkdir"])
def test_a_failing_disk_is_the_machines_fault_and_leaves_nothing(
    server: Server, tmp_path: Path, refused, monkeypatch, code: int, words: str, call: str
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(code, os.strerror(code))

    target = {"open": (Path, "open"), "fsync": (os, "fsync"), "replace": (Path, "replace"), "mkdir": (Path, "mkdir")}
    with monkeypatch.context() as patch:
        patch.setattr(*target[call], fail)
        message = refused(MachineError, fetch, remote(server.url), tmp_path / "data", POLICY)
    assert words in message
    assert "file.bin" in message
    assert left_in(tmp_path / "data") == []


def test_what_a_killed_process_left_is_written_over(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".file.bin.part").write_bytes(b"half a file, much longer than the right one" * 10_000)
    assert fetch(remote(server.url), tmp_path, POLICY).read_bytes() == CONTENT
    assert left_in(tmp_path) == ["file.bin"]


def _fetch_in_process(url: str, folder: Path, both, results) -> None:
    both.release()
    results.put(fetch(remote(url), folder, POLICY).read_bytes() == CONTENT)


def test_two_processes_download_once(server: Server, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    both, results = context.Semaphore(0), context.Queue()

    def once_both_have_asked(handler: BaseHTTPRequestHandler) -> None:
        assert both.acquire(timeout=HANGS_S) and both.acquire(timeout=HANGS_S)
        good(handler)

    server.answers = [once_both_have_asked]
    processes = [
        context.Process(target=_fetch_in_process, args=(server.url, tmp_path, both, results)) for _ in range(2)
    ]
    for process in processes:
        process.start()
    assert [results.get(timeout=HANGS_S) for _ in processes] == [True, True]
    for process in processes:
        process.join()
    assert server.requests == 1
    assert left_in(tmp_path) == ["file.bin"]

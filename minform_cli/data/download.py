"""Fetching published files: over https alone, to a temporary name, checked, then renamed. Never a bad file in place.

``MINFORM_OFFLINE=1`` opens no socket. Every failure is one line that names the file, where to get it and the folder
to put it in, so that a machine without a network can be served by hand.

Why not pooch (1.9.0): of what follows it would take over five lines, the temporary name and the move from it. It tries
one address, so mirrors, and a failure that will not pass told from one that may, stay here; it follows a redirect from
https to http; it knows neither a largest size nor a slowest server, no lock between processes and no sync of the disk;
and its checksum is of the file that comes, where MNIST's is of what is inside, whichever mirror packed it. Its place
for a downloader of one's own would hold all of `_receive` and `_open`, beside requests as another dependency.
"""

from __future__ import annotations

import http.client
import os
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from filelock import FileLock

from minform_cli.errors import InputError, MachineError
from minform_cli.files import sync_folder


@dataclass(frozen=True)
class Remote:
    """A published file.

    Attributes:
        name: of the file on disk.
        urls: where it can be had; tried in order.
        problem: says what is wrong with a file that was fetched (a few words), or None if it is the right one.
    """

    name: str
    urls: tuple[str, ...]
    problem: Callable[[Path], str | None]


@dataclass(frozen=True)
class Policy:
    """How patient a download is, and what it trusts.

    Attributes:
        schemes: of addresses, redirects included.
        timeout_s: longest wait for the next bytes.
        attempts: tries per address, where the failure may pass.
        backoff_s: wait before the second try; doubles with each.
        max_bytes: a server that sends more is cut off.
        min_bytes_per_s: a server that sends less, once `timeout_s` is over, is cut off.
    """

    schemes: tuple[str, ...] = ("https",)
    timeout_s: float = 30.0
    attempts: int = 3
    backoff_s: float = 1.0
    max_bytes: int = 512 * 2**20
    min_bytes_per_s: float = 1024.0


POLICY = Policy()


class _FailedError(Exception):
    """One try went wrong; `passing` if another one may go right."""

    def __init__(self, reason: str, passing: bool) -> None:
        super().__init__(reason)
        self.passing = passing


def fetch(remote: Remote, folder: Path, policy: Policy | None = None) -> Path:
    """The path of `remote` in `folder`, downloaded if it is not there. Two processes that ask at once download once.

    Raises:
        InputError: offline, no network, no address has the file, or what came is not the file.
        MachineError: `folder` cannot be written or the disk is full.
    """
    path = folder / remote.name
    if path.is_file():
        return path
    by_hand = f"fetch {remote.urls[0]} by hand and put it into {str(folder)!r}"
    if os.environ.get("MINFORM_OFFLINE", "0") not in {"", "0"}:
        raise InputError(f"{remote.name} is not there and MINFORM_OFFLINE is set: {by_hand}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{remote.name}.lock"):
            if not path.is_file():
                _download(remote, path, policy or POLICY)
    except _FailedError as failure:
        raise InputError(f"cannot download {remote.name} ({failure}): {by_hand}") from None
    except (OSError, NotImplementedError) as error:  # the latter: a file system without locks
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise MachineError(f"cannot write {remote.name} into {str(folder)!r}: {reason}") from error
    return path


def _download(remote: Remote, path: Path, policy: Policy) -> None:
    """Tries address after address; the last failure tells why none of them served."""
    # One name for all tries: the lock is held, so whatever lies there was left by a process that was killed.
    temporary = path.with_name(f".{path.name}.part")
    failure = _FailedError("no address is known", passing=False)
    try:
        for url in remote.urls:
            for attempt in range(policy.attempts):
                if attempt:
                    time.sleep(policy.backoff_s * 2 ** (attempt - 1))
                try:
                    _receive(url, temporary, policy)
                except _FailedError as this:
                    failure = this
                    if this.passing:
                        continue
                    break
                problem = remote.problem(temporary)
                if problem is None:
                    temporary.replace(path)
                    sync_folder(path.parent)
                    return
                failure = _FailedError(f"{_host(url)} sent another file: {problem}", passing=False)
                break
    finally:
        temporary.unlink(missing_ok=True)
    raise failure


def _receive(url: str, temporary: Path, policy: Policy) -> None:
    """One try: the bytes of `url` in `temporary`, synced. `_FailedError` is the network's fault, OSError the disk's."""
    with _open(url, policy) as response, temporary.open("wb") as file:
        started = time.monotonic()
        expected = response.headers.get("Content-Length", "")
        received = 0
        while chunk := _read(response, url):
            received += len(chunk)
            if received > policy.max_bytes:
                raise _FailedError(f"{_host(url)} sends more than {policy.max_bytes} bytes", passing=False)
            elapsed_s = time.monotonic() - started
            if elapsed_s > policy.timeout_s and received < policy.min_bytes_per_s * elapsed_s:
                raise _FailedError(f"{_host(url)} is too slow", passing=True)
            file.write(chunk)
        if expected.isdecimal() and received != int(expected):
            raise _FailedError(f"{_host(url)} cut the connection after {received} of {expected} bytes", passing=True)
        file.flush()
        os.fsync(file.fileno())


def _open(url: str, policy: Policy) -> http.client.HTTPResponse:
    if urllib.parse.urlsplit(url).scheme not in policy.schemes:
        raise _FailedError(f"{url} is not https", passing=False)
    opener = urllib.request.build_opener(_Redirects(policy.schemes))
    request = urllib.request.Request(url, headers={"User-Agent": "minform"})  # noqa: S310  (scheme checked above)
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=policy.timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        passing = error.code >= 500 or error.code in {408, 429}
        raise _FailedError(f"{_host(url)} answered {error.code}", passing) from None
    except urllib.error.URLError as error:
        passing = isinstance(error.reason, (TimeoutError, ConnectionError))
        raise _FailedError(f"{_host(url)}: {_words(error.reason)}", passing) from None
    except (OSError, http.client.HTTPException) as error:
        passing = not isinstance(error, ssl.SSLCertVerificationError)
        raise _FailedError(f"{_host(url)}: {_words(error)}", passing) from None
    return response


def _read(response: http.client.HTTPResponse, url: str) -> bytes:
    """The bytes that have come; `read1`, because `read` would wait for a full buffer from a server that drips."""
    try:
        return response.read1(1 << 16)
    except (OSError, http.client.HTTPException) as error:
        raise _FailedError(f"{_host(url)}: {_words(error)}", passing=True) from None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to an address that could have been asked for in the first place."""

    def __init__(self, schemes: tuple[str, ...]) -> None:
        self.schemes = schemes

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme not in self.schemes:
            raise _FailedError(f"{_host(req.full_url)} redirects to {scheme}, which is not trusted", passing=False)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc


def _words(reason: object) -> str:
    """A reason in one printable line, whatever a server or a system library put into it."""
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return "".join(c if c.isprintable() else " " for c in text)[:200]

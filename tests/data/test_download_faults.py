"""Whatever call of a download fails: never a bad file in place, one line, and the next download is whole."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from minform_cli.data.download import fetch
from minform_cli.errors import MachineError
from tests.data.test_download import CONTENT, POLICY, Answer, Server, cut, good, left_in, remote, server, status, wrong
from tests.soak.scale import reached
from tests.training.faults import WAYS, Died, EveryCall, another_process

__all__ = ["server"]


@pytest.mark.parametrize(
    ("answers", "mirrors"),
    [([good], 1), ([status(500), good], 1), ([cut, good], 1), ([wrong, good], 2)],
    ids=["good", "500", "cut", "mirror"],
)
@pytest.mark.parametrize(("how", "lasting"), WAYS)
def test_whatever_call_of_a_download_fails_no_bad_file_is_in_place(
    server: Server, tmp_path: Path, answers: list[Answer], mirrors: int, how: int | str, lasting: bool
) -> None:
    wanted = remote(*(f"{server.url}{number}/" for number in range(mirrors)))
    failed = 0
    for call in count(1):
        folder = tmp_path / str(call) / "data"
        path = folder / wanted.name
        server.answers, server.requests = answers, 0
        with pytest.MonkeyPatch.context() as patch:
            another_process(patch)
            disk = EveryCall(tmp_path / str(call), patch, call, how, lasting)
            try:
                assert fetch(wanted, folder, POLICY) == path
                assert path.is_file()
            except MachineError as error:
                failed += 1
                assert str(error).isprintable() and error.exit_code == 4
                if not path.exists() and not lasting:
                    assert left_in(folder) == [], (disk.names, "a temporary file stays")
            except Died:
                failed += 1
        assert not path.exists() or path.read_bytes() == CONTENT, disk.names
        server.answers, server.requests = [good], 0
        assert fetch(wanted, folder, POLICY).read_bytes() == CONTENT
        assert left_in(folder) == [wanted.name], disk.names
        if disk.calls < call:
            break
    assert failed > 8
    reached("R2", failed)
    reached("R8", failed)

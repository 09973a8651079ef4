"""What messages are made of."""

import pytest

from minform_cli.errors import counted


@pytest.mark.parametrize(
    ("num", "nouns", "text"),
    [
        (0, ("line",), "0 lines"),
        (1, ("line",), "1 line"),
        (2000, ("line",), "2,000 lines"),
        (1, ("row is", "rows are"), "1 row is"),
        (3, ("class", "classes"), "3 classes"),
    ],
)
def test_one_is_not_many(num: int, nouns: tuple[str, ...], text: str) -> None:
    assert counted(num, *nouns) == text

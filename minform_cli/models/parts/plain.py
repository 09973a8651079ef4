"""Whether parts compute by plain operations alone, each of which has a rule for one more leading axis.

A model that is mapped over such an axis (`training.stacked`) folds it into the batch of its products. What is fused
for speed has no such rule: it would run entry by entry, or not at all. A part that has a faster way asks here first.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


class _Asked:
    plain = False


def plain() -> bool:
    """Whether only plain operations may be used now."""
    return _Asked.plain


@contextmanager
def plainly() -> Generator[None]:
    """Within, `plain` is true, in every thread."""
    before, _Asked.plain = _Asked.plain, True
    try:
        yield
    finally:
        _Asked.plain = before

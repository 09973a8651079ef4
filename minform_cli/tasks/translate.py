"""Task `translate`: every token of a translation from the source sentence and the tokens before it.

Source: Attention Is All You Need, arXiv 1706.03762, sections 3.4 and 5.4 (tied output, label smoothing).
"""

from __future__ import annotations

from minform_cli.tasks.vocabulary import TokenTask

TASK = TokenTask()

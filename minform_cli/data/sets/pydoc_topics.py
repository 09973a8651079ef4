"""CPython's own help texts on the language: English that is there without a network and without a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from minform_cli.config.schema import DataConfig
from minform_cli.data.spec import TextSpec, split_sizes
from minform_cli.errors import InputError

if TYPE_CHECKING:
    from minform_cli.data.text.corpora import TextData

SUMMARY = "half a megabyte of English: the help texts of Python itself; no download"
SOURCE = "Python's own pydoc_data.topics, The Python Language Reference; the text is another in each Python version"
TAKES: tuple[str, ...] = ()


def spec(data: DataConfig) -> TextSpec:
    """Sizes from the settings alone.

    Raises:
        InputError: validation on a test split, which there is none of.
    """
    if data.validation == "test":
        split_sizes(data, official_train=0, holdout=0, num_test=0, num_classes=0)
    return TextSpec(
        name="pydoc-topics",
        title="pydoc topics",
        source=SOURCE,
        vocab_size=data.vocab_size,
        seq_len=data.seq_len,
    )


def load(data: DataConfig, tell: Callable[[str], None]) -> TextData:
    """The sequences of the text, its topics in the order of their names.

    Raises:
        InputError: as `load_corpora`; or this Python comes without its help texts.
        MachineError: as `load_corpora`.
    """
    import io

    from minform_cli.data.text.corpora import load_corpora
    from minform_cli.data.text.corpus import look_through
    from minform_cli.data.text.lines import TextFile
    from minform_cli.data.text.places import Texts

    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise InputError(
            "data.name: pydoc-topics: this Python comes without pydoc_data; accepted: text, with data.path"
        ) from None
    # A topic is one document, so the blank lines within it go.
    documents = ("\n".join(line for line in topics[name].splitlines() if line.strip()) for name in sorted(topics))
    content = "\n\n".join(documents).encode()
    where = "data.name: pydoc-topics"
    corpus = look_through(where, where, [TextFile(where, lambda: io.BytesIO(content))])
    return load_corpora(data, spec(data), Texts(corpus, None, None, ()), tell)

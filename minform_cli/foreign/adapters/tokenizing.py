"""The tokenizer in a folder of transformers, and how long its examples are."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer

from minform_cli.data.text.tokenizer import Role, Vocabulary, from_json
from minform_cli.errors import InputError, MinformError, unread
from minform_cli.foreign.adapters.base import Given
from minform_cli.foreign.adapters.pooling import told_length


def tokenizer_of(given: Given, needs: Iterable[Role], vocab_size: int, pad: int | None = None) -> Vocabulary:
    """The tokenizer of a folder.

    Args:
        given: the model.
        needs: special entries that its task needs, beside a start or an end.
        vocab_size: word vectors of the model.
        pad: entry that fills up, where positions depend on it; None: they do not.

    Raises:
        InputError: there is none, it is damaged, or it is of another model.
    """
    folder = given.folder
    assert folder is not None, "a text model comes with its files"
    path = folder / "tokenizer.json"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{folder}: has no tokenizer.json; accepted: a folder with one, as transformers writes it by "
            "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        ) from None
    except OSError as error:
        raise unread(error, f"{path} cannot be read: {error.strerror or error}") from None
    vocabulary = from_json(content, str(path), needs)
    if pad not in (None, vocabulary.special.pad):
        raise InputError(
            f"{folder}/config.json: pad_token_id is {pad}, and tokenizer.json fills up with "
            f"{vocabulary.special.pad}; accepted: one entry for both, for positions are counted from it"
        )
    if vocabulary.size > vocab_size:
        raise InputError(
            f"{path}: has {vocabulary.size:,} entries, more than the {vocab_size:,} word vectors of the model; "
            "accepted: the tokenizer of this model"
        )
    return vocabulary


def around(vocabulary: Vocabulary) -> list[str]:
    """That the tokenizer's file puts other entries around a sentence than a run of ours does, if so."""
    theirs = Tokenizer.from_buffer(vocabulary.json)
    theirs.no_truncation()
    theirs.no_padding()
    try:
        inside, found = (theirs.encode("a", add_special_tokens=around).ids for around in (False, True))
    except MinformError:  # a signal came
        raise
    except Exception:  # it has no entry for the letter, and none for what is unknown: the library raises just this
        return []
    special = vocabulary.special
    if found == [special.cls, *inside, special.sep]:
        return []
    shown, first, last = (
        " ".join(str(theirs.id_to_token(entry)) for entry in entries)
        for entries in (found, [special.cls], [special.sep])
    )
    return [f"tokenizer.json makes {shown!r} of 'a', and a run puts {first} before a sentence and {last} behind it"]


def longest(given: Given, most: int) -> int:
    """Tokens of the longest example: as asked for, else as sentence-transformers' files say, else all `most` positions.

    Raises:
        InputError: more are asked for than there are positions.
    """
    if given.seq_len is None:
        told = told_length(given.folder) if given.folder is not None else None
        return min(told or most, most)
    if given.seq_len > most:
        raise InputError(
            f"--seq-len: {given.seq_len:,} is more than the model's {most:,} positions; accepted: 4 to {most}"
        )
    return given.seq_len

"""The tokenizer: trained on the text at hand, or a file of the user's; and its special entries.

Training is a function of the text and the settings alone. The WordPiece trainer of Hugging Face numbers the letters
inside words in the order of a hash table, another one in every process, so here it is told them in a fixed order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from minform_cli.config.schema import TOKENIZERS, DataConfig
from minform_cli.errors import InputError, MinformError, did_you_mean, unread
from minform_cli.files import user_path

TRAINED_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""The first entries of a tokenizer trained here, in this order."""

Role = Literal["pad", "cls", "sep", "mask"]
"""What a special entry is for: filling up, the start, the end of a sentence or document, what is hidden."""

NAMES: Mapping[Role, tuple[str, ...]] = {
    "pad": ("[PAD]", "<pad>", "<|pad|>", "<PAD>", "<|finetune_right_pad_id|>", "<|padding|>"),
    "cls": (
        "[CLS]", "<s>", "<bos>", "<cls>", "[BOS]", "<BOS>", "<|startoftext|>", "<|begin_of_text|>", "<|bos|>",
    ),
    "sep": (
        "[SEP]", "</s>", "<eos>", "<sep>", "[EOS]", "<EOS>", "<|endoftext|>", "<|end_of_text|>", "<|eos|>",
    ),
    "mask": ("[MASK]", "<mask>", "<|mask|>", "<MASK>"),
}  # fmt: skip
"""How tokenizers call the entries that a run needs, those of BERT, RoBERTa, GPT-2, T5, Gemma and Llama among them."""

_USES: Mapping[Role, str] = {
    "pad": "to fill up with",
    "cls": "to open with",
    "sep": "to end with",
    "mask": "to hide with",
}

MIN_FREQUENCY = 2
"""An entry made for what occurs once would be learnt from one example."""

INSIDE = "##"
"""Opens WordPiece's entries for what stands inside a word."""


@dataclass(frozen=True)
class Special:
    """Entries with a meaning of their own.

    Attributes:
        cls: the start of a sentence or document; the same as `sep` in a tokenizer with one entry for both, as GPT-2's.
        sep: its end.
        pad: fills up; None in a tokenizer that has no such entry.
        mask: stands for what is hidden; likewise.
    """

    cls: int
    sep: int
    pad: int | None = None
    mask: int | None = None

    @property
    def numbers(self) -> list[int]:
        """Those there are, ascending."""
        return sorted({each for each in (self.pad, self.cls, self.sep, self.mask) if each is not None})


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer, ready to encode.

    Attributes:
        tokenizer: neither cuts nor fills up, and takes the name of a special entry in the text for plain text.
        special: numbers of the special entries.
        json: content of the tokenizer file.
    """

    tokenizer: Tokenizer
    special: Special
    json: bytes

    @property
    def size(self) -> int:
        """Rows that the embedding must have: one more than the highest entry."""
        return 1 + max(self.tokenizer.get_vocab().values())

    @property
    def ordinary(self) -> NDArray[np.int64]:
        """Every entry that is not special, ascending."""
        special = {number for number, token in self.tokenizer.get_added_tokens_decoder().items() if token.special}
        special |= set(self.special.numbers)
        return np.array(sorted(set(self.tokenizer.get_vocab().values()) - special), dtype=np.int64)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """The entries of each text, with no special ones added; all texts at once, on all cores.

        Raises:
            InputError: the user's tokenizer fails on a text, for example on a sign that it has no entry for.
        """
        try:
            return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        except MinformError:  # a signal came
            raise
        except Exception as error:  # the library raises plain `Exception`
            raise InputError(f"data.tokenizer: the tokenizer fails on the text: {_line(error)}") from None


def trained(data: DataConfig, documents: Iterable[str]) -> Vocabulary:
    """A tokenizer of kind `data.tokenizer`, one of `TOKENIZERS`, with at most `data.vocab_size` entries.

    Args:
        data: the data section.
        documents: the training text; gone through twice, so no iterator. A small text fills fewer entries.

    Raises:
        InputError: `data.vocab_size` is less than the special entries and the letters need; or as `documents` raises.
    """
    assert iter(documents) is not documents, "the text is gone through twice"
    tokenizer = _wordpiece(data, documents) if data.tokenizer == "wordpiece" else _byte_bpe(data, documents)
    cls, sep = (TRAINED_SPECIAL.index(name) for name in ("[CLS]", "[SEP]"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", cls), ("[SEP]", sep)]
    )
    return from_json(tokenizer.to_str().encode(), "data.tokenizer")


def loaded(path: str | Path, vocab_size: int, needs: Iterable[Role] = ()) -> Vocabulary:
    """The tokenizer of a file.

    Args:
        path: a `tokenizer.json`.
        vocab_size: rows of the embedding, which its entries must fit in.
        needs: the special entries that it is used with, beside one for the start or the end.

    Raises:
        InputError: there is no such file, it is damaged, lacks a special entry or has too many entries.
    """
    where = f"data.tokenizer: {str(path)!r}"
    try:
        vocabulary = from_json(user_path(path).read_bytes(), where, needs)
    except FileNotFoundError:
        near = did_you_mean(str(path), TOKENIZERS)
        raise InputError(
            f"{where}: no such file{near}; accepted: {', '.join(TOKENIZERS)}, or the path of a tokenizer.json"
        ) from None
    except (OSError, RuntimeError, ValueError) as error:  # no such user; a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise unread(error, f"{where}: cannot be read: {reason}; accepted: a tokenizer.json") from None
    if vocabulary.size > vocab_size:
        raise InputError(
            f"{where}: has {vocabulary.size:,} entries, more than data.vocab_size {vocab_size:,}; "
            f"accepted: --set data.vocab_size={vocabulary.size} or more"
        )
    return vocabulary


def from_json(content: bytes, where: str, needs: Iterable[Role] = ()) -> Vocabulary:
    """The tokenizer in the content of a `tokenizer.json`.

    Args:
        content: of the file.
        where: opens the message of what it raises.
        needs: as for `loaded`.

    Raises:
        InputError: it is damaged or lacks a special entry.
    """
    try:
        tokenizer = Tokenizer.from_buffer(content)
    except MinformError:  # a signal came
        raise
    except Exception as error:  # the library raises plain `Exception`
        raise InputError(
            f"{where}: is no tokenizer, or damaged: {_line(error)}; accepted: a tokenizer.json as Hugging Face has it"
        ) from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    found = {role: _entry(tokenizer, names) for role, names in NAMES.items()}
    if found["cls"] is None and found["sep"] is None:
        needs = ("sep", *needs)
    missing: list[Role] = [role for role in dict.fromkeys(needs) if found[role] is None]
    if missing:
        raise InputError(f"{where}: {_lacking(tokenizer, missing)}")
    cls, sep = (found[role] if found[role] is not None else found[other] for role, other in (_START, _START[::-1]))
    assert cls is not None, "one of them is there"
    assert sep is not None
    return Vocabulary(tokenizer, Special(cls, sep, found["pad"], found["mask"]), content)


_START: tuple[Role, Role] = ("cls", "sep")


def _lacking(tokenizer: Tokenizer, missing: Sequence[Role]) -> str:
    """Which entries a tokenizer lacks and how they may be called, and which special ones it has."""
    wanted = " and ".join(f"no entry {_USES[role]} ({', '.join(NAMES[role][:3])} or the like)" for role in missing)
    special = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
    told = f"{', '.join(special[:8])}{', ...' if len(special) > 8 else ''}" if special else "none"
    return f"has {wanted}, which the task needs; its special entries: {told}; accepted: a tokenizer with such entries"


def _entry(tokenizer: Tokenizer, names: tuple[str, ...]) -> int | None:
    return next((entry for name in names if (entry := tokenizer.token_to_id(name)) is not None), None)


def _wordpiece(data: DataConfig, documents: Iterable[str]) -> Tokenizer:
    """Lower-cased and without accents, as bert-base-uncased has it."""
    special: list[str] = list(TRAINED_SPECIAL)
    letters = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106  (no password)
    letters.normalizer = normalizers.BertNormalizer(lowercase=True)
    letters.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # So small a vocabulary has no room for more than the letters: those that open words and those inside words.
    letters.train_from_iterator(documents, _wordpiece_trainer(len(special), special))
    alphabet = sorted(set(letters.get_vocab()) - set(special), key=lambda entry: (len(entry) > 1, entry))
    _check_room(data, len(special) + len(alphabet), f"the {len(alphabet):,} letters of the text")
    letters.train_from_iterator(documents, _wordpiece_trainer(data.vocab_size, special + alphabet))
    # Made anew: the letters are entries like any other, special only for the trainer.
    model = models.WordPiece(letters.get_vocab(), unk_token="[UNK]", continuing_subword_prefix=INSIDE)  # noqa: S106
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = letters.normalizer
    tokenizer.pre_tokenizer = letters.pre_tokenizer
    tokenizer.decoder = decoders.WordPiece(prefix=INSIDE)
    tokenizer.add_special_tokens(special)
    return tokenizer


def _wordpiece_trainer(vocab_size: int, first: list[str]) -> trainers.WordPieceTrainer:
    return trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=MIN_FREQUENCY,
        special_tokens=first,
        continuing_subword_prefix=INSIDE,
        show_progress=False,
    )


def _byte_bpe(data: DataConfig, documents: Iterable[str]) -> Tokenizer:
    """Over bytes, so that no text is unknown; upper and lower case kept, as GPT-2 and RoBERTa have it."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    _check_room(data, len(TRAINED_SPECIAL) + len(alphabet), f"the {len(alphabet)} bytes")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=data.vocab_size,
        min_frequency=MIN_FREQUENCY,
        special_tokens=list(TRAINED_SPECIAL),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def _check_room(data: DataConfig, needed: int, what: str) -> None:
    if data.vocab_size < needed:
        raise InputError(
            f"data.vocab_size: {data.vocab_size:,} is too few for a {data.tokenizer} tokenizer: "
            f"the {len(TRAINED_SPECIAL)} special entries and {what} need {needed:,}; accepted: {needed} or more"
        )


def _line(error: Exception) -> str:
    """The message of a library as one short printable line."""
    text = " ".join(str(error).split())
    return "".join(c if c.isprintable() else "?" for c in text)[:200]

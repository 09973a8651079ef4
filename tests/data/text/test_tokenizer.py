"""The tokenizer: the same file from the same text in every process, and files of the user's own."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from minform_cli.config.schema import DataConfig
from minform_cli.data.text.tokenizer import TRAINED_SPECIAL, Role, Special, from_json, loaded, trained
from minform_cli.errors import InputError, Interrupted
from tests.data.text.prose import prose, written

TEXT = prose(40).split("\n\n")


def config(kind: str = "wordpiece", vocab_size: int = 400) -> DataConfig:
    return DataConfig(name="text", tokenizer=kind, vocab_size=vocab_size)


IN_A_FRESH_PROCESS = """
import hashlib
from tests.data.text.test_tokenizer import TEXT, config, trained
for kind in ("wordpiece", "byte-bpe"):
    print(hashlib.sha256(trained(config(kind), TEXT).json).hexdigest())
"""


def test_the_same_text_gives_the_same_file_in_every_process() -> None:
    root = Path(__file__).parents[3]
    # One process is not enough: tables are ordered by a number drawn when it starts.
    made = {
        subprocess.run([sys.executable, "-c", IN_A_FRESH_PROCESS], cwd=root, capture_output=True, check=True).stdout
        for _ in range(3)
    }
    assert len(made) == 1
    assert len(set(made.pop().split())) == 2


@pytest.mark.parametrize("kind", ["wordpiece", "byte-bpe"])
def test_the_special_entries_come_first_and_the_rest_is_ordinary(kind: str) -> None:
    made = trained(config(kind), TEXT)
    assert [made.tokenizer.id_to_token(i) for i in range(5)] == list(TRAINED_SPECIAL)
    assert made.special == Special(pad=0, cls=2, sep=3, mask=4)
    assert np.array_equal(made.ordinary, np.arange(5, made.size))
    assert made.size == made.tokenizer.get_vocab_size() <= 400


def test_wordpiece_has_the_entries_that_the_library_finds_by_itself() -> None:
    plain = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=150, min_frequency=2, special_tokens=list(TRAINED_SPECIAL), show_progress=False
    )
    plain.train_from_iterator(TEXT, trainer)
    made = trained(config(vocab_size=150), TEXT)
    # Which of two equally frequent pairs is joined first is where the library differs from process to process.
    assert len(set(made.tokenizer.get_vocab()) ^ set(plain.get_vocab())) <= 6


def test_wordpiece_lower_cases_and_drops_accents_and_bytes_lose_nothing() -> None:
    words, byte = trained(config(), TEXT), trained(config("byte-bpe"), TEXT)
    assert words.encode(["BALO Bálo"]) == [words.encode(["balo"])[0] * 2]
    text = "Bálo ko\n  中 😀"
    assert byte.tokenizer.decode(byte.encode([text])[0]) == text


@pytest.mark.parametrize("kind", ["wordpiece", "byte-bpe"])
def test_names_of_special_entries_in_the_text_are_plain_text(kind: str) -> None:
    made = trained(config(kind), [*TEXT, "[MASK] [SEP] mask sep"])
    tokens = made.encode(["ko [MASK] [SEP][CLS] [PAD]"])[0]
    assert not {0, 2, 3, 4} & set(tokens)


def test_encoding_adds_nothing_and_neither_cuts_nor_fills_up(tmp_path: Path) -> None:
    made = trained(config(), TEXT)
    content = json.loads(made.json)
    content["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    content["padding"] = {
        "strategy": {"Fixed": 7}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "[PAD]",
    }  # fmt: skip
    given = loaded(written(tmp_path / "t.json", json.dumps(content)), 400)
    assert given.encode(["balo " * 20, "", "ko"]) == made.encode(["balo " * 20, "", "ko"])
    assert [len(tokens) for tokens in given.encode(["balo " * 20, "", "ko"])][1:] == [0, 1]
    assert made.tokenizer.encode("ko").ids == [2, *made.encode(["ko"])[0], 3], "the file itself frames a sentence"


def test_a_small_text_fills_fewer_entries_and_the_least_number_is_told_and_works(refused) -> None:
    assert trained(config(vocab_size=100_000), TEXT).size < 300
    for kind, least in (("wordpiece", 5 + 14 + 11), ("byte-bpe", 5 + 256)):
        assert trained(config(kind, least), TEXT).size == least
        message = refused(InputError, trained, config(kind, least - 1), TEXT)
        assert message.startswith(f"data.vocab_size: {least - 1} is too few for a {kind} tokenizer: the 5 special")
        assert message.endswith(f"need {least}; accepted: {least} or more")


def roberta(**changes: str) -> str:
    names = {"pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"} | changes
    tokenizer = Tokenizer(models.WordLevel({"ba": 0, "ko": 1}, unk_token="ba"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([name for name in names.values() if name])
    return tokenizer.to_str()


def test_a_file_may_name_its_entries_as_roberta_does_and_must_fit_in_the_embedding(tmp_path: Path, refused) -> None:
    path = written(tmp_path / "t.json", roberta())
    found = loaded(path, 15)
    tokens = [found.tokenizer.id_to_token(i) for i in (found.special.pad, found.special.cls)]
    assert tokens == ["<pad>", "<s>"]
    assert found.ordinary.tolist() == [0, 1]
    assert found.encode(["ko ba"]) == [[1, 0]]
    assert found.json == roberta().encode()
    size = found.size
    message = refused(InputError, loaded, path, size - 1)
    assert (
        f"has {size} entries, more than data.vocab_size {size - 1}; accepted: --set data.vocab_size={size}" in message
    )
    assert loaded(path, size).size == size


@pytest.mark.parametrize(
    ("role", "told"), [("pad", "[PAD], <pad>"), ("cls", "[CLS], <s>"), ("sep", "</s>"), ("mask", "<mask>")]
)
def test_a_missing_special_entry_is_named_where_it_is_needed(tmp_path: Path, refused, role: Role, told: str) -> None:
    path = written(tmp_path / "t.json", roberta(**{role: ""}))
    message = refused(InputError, loaded, path, 1000, (role,))
    assert message.startswith(f"data.tokenizer: {path!r}: has no entry to ")
    assert told in message
    assert "its special entries: <" in message
    roles: tuple[Role, ...] = ("pad", "cls", "sep", "mask")
    loaded(path, 1000, [other for other in roles if other != role])
    loaded(written(tmp_path / "t.json", roberta(unk="")), 1000, roles)


def of_gpt2() -> Tokenizer:
    """Byte-level BPE with one special entry, for the start and the end."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(initial_alphabet=alphabet, vocab_size=280, show_progress=False)
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


def of_t5() -> Tokenizer:
    """Unigram without an entry for the start."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -2.0) for letter in "\u2581abeiklmnorstu")]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    return tokenizer


def of_llama() -> Tokenizer:
    """BPE over letters that falls back on bytes, with nothing to fill up with."""
    entries = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *"\u2581abeiklmnorstu"]
    tokenizer = Tokenizer(
        models.BPE(dict(zip(entries, range(len(entries)), strict=True)), [], byte_fallback=True, unk_token="<unk>")
    )
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(entries[:3])
    return tokenizer


@pytest.mark.parametrize(
    ("make", "cls", "sep", "lacks"),
    [
        (of_gpt2, "<|endoftext|>", "<|endoftext|>", ("pad", "cls", "mask")),
        (of_t5, "</s>", "</s>", ("cls", "mask")),
        (of_llama, "<s>", "</s>", ("pad", "mask")),
    ],
)
def test_tokenizers_of_others_are_taken_for_what_they_have(
    make: Callable[[], Tokenizer], cls: str, sep: str, lacks: tuple[Role, ...], refused
) -> None:
    made = make()
    found = from_json(made.to_str().encode(), "data.tokenizer")
    assert [made.id_to_token(number) for number in (found.special.cls, found.special.sep)] == [cls, sep]
    assert found.tokenizer.decode(found.encode(["balo ko"])[0]).split() == ["balo", "ko"]
    assert not set(found.ordinary) & set(found.special.numbers)
    roles: tuple[Role, ...] = ("pad", "cls", "sep", "mask")
    for role in roles:
        if role in lacks:
            message = refused(InputError, from_json, found.json, "file", (role,))
            assert message.startswith("file: has no entry to ")
        else:
            from_json(found.json, "file", (role,))


def test_a_tokenizer_with_neither_start_nor_end_is_of_no_use(refused) -> None:
    none = roberta(cls="", sep="").encode()
    message = refused(InputError, from_json, none, "file")
    assert message.startswith("file: has no entry to end with ([SEP], </s>, <eos> or the like), which the task needs")


def test_damaged_and_foreign_files_are_refused_in_one_line(tmp_path: Path, refused) -> None:
    whole = trained(config(), TEXT).json
    for content in (b"", b"{}", b"\xff\0", b"[1]\n", whole[:-10], whole.replace(b"WordPiece", b"Word\\nPiece")):
        path = written(tmp_path / "t.json", content)
        message = refused(InputError, loaded, path, 1000)
        assert message.startswith(f"data.tokenizer: {path!r}: is no tokenizer, or damaged: ")
    assert "cannot be read: Is a directory" in refused(InputError, loaded, tmp_path, 1000)


def test_a_mistyped_kind_is_told_with_the_nearest(refused) -> None:
    message = refused(InputError, loaded, "wordpeice", 1000)
    assert "'wordpeice': no such file; did you mean 'wordpiece'?; accepted: wordpiece, byte-bpe, or the path" in message
    assert "cannot be read: embedded null byte" in refused(InputError, loaded, "a\0b", 100)


def test_a_tokenizer_that_fails_on_the_text_is_an_error_of_its_file(refused) -> None:
    content = json.loads(roberta())
    content["model"]["unk_token"] = "[none]"
    found = from_json(json.dumps(content).encode(), "data.tokenizer")
    message = refused(InputError, found.encode, ["unheard"])
    assert message.startswith("data.tokenizer: the tokenizer fails on the text: ")


class Stopped:
    """A tokenizer in whose work a signal comes."""

    def encode_batch_fast(self, texts: list[str], *, add_special_tokens: bool) -> None:
        raise Interrupted(signal.SIGTERM, f"{len(texts)} texts, {add_special_tokens}")


def test_a_signal_is_not_taken_for_a_tokenizer_that_fails() -> None:
    made = dataclasses.replace(trained(config(), TEXT), tokenizer=Stopped())  # type: ignore[arg-type]
    with pytest.raises(Interrupted, match="2 texts, False"):
        made.encode(["a", "b"])

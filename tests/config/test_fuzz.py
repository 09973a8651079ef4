"""Malformed configs by the thousand: each resolves, or is refused in one line that names the file or the key.

The soak tries many more of each kind.
"""

import random
from pathlib import Path

import pytest

from minform_cli.cli.console import one_line
from minform_cli.config.names import shipped_folder, variant_names
from minform_cli.config.presets import dump_config, load_config, resolve
from minform_cli.config.schema import known_keys
from minform_cli.errors import InputError
from tests.soak.scale import reached, seed, tries

TRIES = tries(1_000)

NASTY = [
    "", "~", "null", "true", "no", "0", "-1", "1e999", "-.inf", ".nan", "1e-3", "9" * 400, "0x7fffffffffffffff", "''",
    '"\\0"', '"\\e[31m"', "é", "\u2028", "\ud7ff", "[]", "{}", "[[[[", "{a: {b: {c: d}}}", "*a", "&a b", "!!int 3",
    "!!python/object/apply:os.system [ls]", "<<: *a", "a: b: c", "- a", "? [x]", "|", ">", "%YAML 9.9", "---", "...",
    "{kind: pairwise, noise: 1}", "{kind: tied, noise: 1}", "{kind: }", "{kind: [tied]}", "[0, 1]", "[0, 99999999999]",
    "[-1, 0]", "digits", "../x.yaml", "/etc/passwd", "a" * 5000, "baseline+baseline", "\t", "# x", "@x", "`x`", "%",
]  # fmt: skip


def mutated(data: bytes, rng: random.Random) -> bytes:
    """`data` with one to four changes of bytes, lines, keys or values."""
    for _ in range(rng.randint(1, 4)):
        data = rng.choice([_change_byte, _insert_bytes, _cut, _double_line, _swap_lines, _new_value, _new_key])(
            data, rng
        )
    return data


def _change_byte(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]


def _insert_bytes(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return (
        data[:at]
        + rng.choice([b"\0", b"\t", b"\x1b[31m", b":", b"- ", b"\n\n", b'"', b"\xff", b"{", b"&a "])
        + data[at:]
    )


def _cut(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.randrange(30) :]


def _double_line(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
    return b"\n".join(lines)


def _swap_lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    rng.shuffle(lines)
    return b"\n".join(lines)


def _new_value(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = lines[at].partition(b":")[0] + b": " + rng.choice(NASTY).encode()
    return b"\n".join(lines)


def _new_key(data: bytes, rng: random.Random) -> bytes:
    key = rng.choice([*known_keys(), *NASTY]).rpartition(".")[2]
    return data + rng.choice(["", "  ", "model:\n  ", "train: {"]).encode() + f"{key}: {rng.choice(NASTY)}\n".encode()


def check_refusal(error: InputError, names: list[str]) -> None:
    text = str(error)
    assert text, "an empty message"
    assert "\n" not in text, text
    assert one_line(text).isprintable()
    assert any(name in text for name in names), text


PLACES = ["model.", "data.", "train.", "--variant", "--preset", "task", "/etc/passwd", "../x.yaml"]


@pytest.mark.parametrize("kind", ["preset", "variant", "dumped"])
def test_a_mutated_file_resolves_or_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    rng = random.Random(f"files {kind} {seed()}")
    folder = shipped_folder() / ("variants" if kind == "variant" else ".")
    sources = [path.read_bytes() for path in sorted(folder.glob("*.yaml"))]
    sources += [dump_config(resolve("debug").config).encode()] if kind == "dumped" else []
    path, refused = tmp_path / "mutated.yaml", 0
    for _ in range(TRIES):
        path.write_bytes(mutated(rng.choice(sources[-1:] if kind == "dumped" else sources), rng))
        try:
            if kind == "preset":
                resolve(str(path))
            elif kind == "variant":
                resolve("debug", str(path))
            else:
                load_config(path)
        except InputError as error:
            refused += 1
            check_refusal(error, [str(path), *PLACES])
    assert TRIES / 3 < refused <= TRIES, "the mutations no longer bite"
    reached("R5", TRIES)


def test_random_settings_resolve_or_are_refused_in_one_line() -> None:
    rng = random.Random(f"settings {seed()}")
    keys = [*known_keys(), "model", "model.", ".dim", "seed", "a.b.c", "model.dim ", "MODEL.DIM", "\x1b[31m", ""]
    for _ in range(TRIES):
        settings = [
            f"{rng.choice(keys)}{rng.choice(['=', '=', '=', ''])}{rng.choice(NASTY)}" for _ in range(rng.randint(1, 3))
        ]
        try:
            resolve("debug", rng.choice(variant_names()), settings)
        except InputError as error:
            check_refusal(error, ["--set", *PLACES])
    reached("R5", TRIES)


def test_random_variants_and_presets_resolve_or_are_refused_in_one_line() -> None:
    rng = random.Random(f"names {seed()}")
    pool = [*variant_names(), *NASTY, "symetric", "no-mlp ", "./symmetric.yaml", "//", "\\", ".yaml", "..", "+", "++"]
    for _ in range(TRIES):
        variant = "+".join(rng.choice(pool) for _ in range(rng.randint(1, 4)))
        preset = rng.choice(["debug", "digits", rng.choice(pool)])
        try:
            resolve(preset, variant)
        except InputError as error:
            check_refusal(error, ["--variant", "--preset", "variant", "model.", "cannot be read", "/etc/passwd"])
    reached("R5", TRIES)

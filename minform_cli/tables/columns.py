"""Which column of a sheet is what: as the user says, else by usual names where only one bears such a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from minform_cli.errors import InputError, unknown_name
from minform_cli.tables import names
from minform_cli.tables.records import Cell, Row, Sheet

_VARIANT, _SEED = "variant (of the run's name)", "seed (of the run's name)"


@dataclass(frozen=True)
class Roles:
    """The columns of a sheet by what they say; `wide` are those with scores where no one column has them all.

    `wide_by` says what tells the wide columns apart: ``seed`` or ``variant``. Without `seed`, and not wide by it, runs
    are not paired.
    """

    variant: str | None
    seed: str | None
    score: str | None
    parameters: str | None
    wide: tuple[str, ...] = ()
    wide_by: str = ""


def parse_columns(text: str | None) -> dict[str, str]:
    """``variant=model,seed=run_seed`` by role; an empty name says that no column has that role.

    Raises:
        InputError: it is not of that form, or a role is unknown or named twice.
    """
    found: dict[str, str] = {}
    for part in [] if text is None else text.split(","):
        role, equals, name = part.partition("=")
        if not equals:
            raise InputError(f"--columns {part!r}: expected ROLE=COLUMN, as variant=model,seed=run_seed,score=acc")
        if role.strip() not in names.ROLES:
            raise unknown_name("role", role.strip(), names.ROLES, "--columns")
        if role.strip() in found:
            raise InputError(f"--columns {role.strip()}: named twice")
        found[role.strip()] = name.strip()
    return found


def find_roles(sheet: Sheet, asked: Mapping[str, str], source: str) -> tuple[Sheet, Roles]:
    """Which column is what, and the sheet, with columns out of the runs' names where nothing else says it.

    Raises:
        InputError: a named column is not there, or a role is not found, or several columns may have it.
    """
    usable = [column for column in sheet.columns if column not in sheet.aside and _says(sheet, column)]
    variant = _role("variant", sheet, usable, asked, source)
    seed = _role("seed", sheet, usable, asked, source)
    parameters = _role("parameters", sheet, usable, asked, source)
    not_paired = asked.get("seed") == ""
    rest = [column for column in usable if column not in (variant, seed, parameters)]
    score = _score(sheet, rest, asked, source)
    if score is None:
        wide = _wide(rest, Roles(variant, seed, asked.get("score") or "score", parameters), not_paired)
        if wide is not None:
            return sheet, wide
        if asked.get("score"):
            raise unknown_name("column", asked["score"], sheet.columns, f"--columns score ({source})")
        raise _missing("score", source, rest)
    if not_paired and variant is None and sheet.run_name is not None:
        variant = sheet.run_name
    if variant is None or (seed is None and not not_paired):
        sheet = _named_by_run(sheet)
        variant = variant or (_VARIANT if _VARIANT in sheet.columns else None)
        seed = seed or (_SEED if _SEED in sheet.columns else None)
    for role, column in (("variant", variant), ("seed", "" if not_paired else seed)):
        if column is None:
            raise _missing(role, source, [column for column in rest if column != score])
    return sheet, Roles(variant, seed, score, parameters)


def _role(role: str, sheet: Sheet, usable: Sequence[str], asked: Mapping[str, str], source: str) -> str | None:
    if role in asked:
        return _there(role, asked[role], sheet, source)
    return _only(role, names.usual(role, usable), sheet, source)


def _score(sheet: Sheet, rest: Sequence[str], asked: Mapping[str, str], source: str) -> str | None:
    if asked.get("score") in sheet.columns:
        return asked["score"]
    if "score" in asked:
        return None  # the name of the score of a wide table, or no column's name
    return sheet.score if sheet.score is not None else _only("score", names.scores(rest), sheet, source)


def _there(role: str, column: str, sheet: Sheet, source: str) -> str | None:
    """`column`, once it is known to be one; None where the user says that no column has that role."""
    if column and column not in sheet.columns:
        raise unknown_name("column", column, sheet.columns, f"--columns {role} ({source})")
    return column or None


def _only(role: str, found: Sequence[str], sheet: Sheet, source: str) -> str | None:
    """The one of `found`; of several, the one that is not the same in every row."""
    if len(found) > 1 and role != "score":
        found = [column for column in found if _differs(sheet, column)] or found[:1]
    if len(found) > 1:
        raise InputError(
            f"{source}: several columns may say the {role}: {', '.join(found)}; accepted: --columns {role}=NAME"
        )
    return found[0] if found else None


def _missing(role: str, source: str, rest: Iterable[str]) -> InputError:
    there = ", ".join(rest) or "none"
    unpaired = "; or seed= where nothing pairs the runs" if role == "seed" else ""
    return InputError(
        f"{source}: no column says the {role}; accepted: --columns {role}=NAME, with one of the other columns: {there}"
        f"{unpaired}"
    )


def _wide(rest: Sequence[str], roles: Roles, not_paired: bool) -> Roles | None:
    """A column a seed where a variant stands in each row, or a column a variant where not; else None."""
    if roles.variant is not None and roles.seed is None and rest and all(map(names.seed_of_column, rest)):
        return replace(roles, wide=tuple(rest), wide_by="seed")
    if (roles.seed is not None or not_paired) and roles.variant is None and len(rest) > 1:
        return replace(roles, wide=tuple(rest), wide_by="variant")
    return None


def _named_by_run(sheet: Sheet) -> Sheet:
    """The sheet with variant and seed out of its runs' names, if every name says both."""
    name = sheet.run_name
    if name is None:
        return sheet
    found = names.split_run_names([str(row.cells.get(name, "")) for row in sheet.rows])
    if found is None:
        return sheet
    rows = tuple(
        Row(row.place, {**row.cells, _VARIANT: variant, _SEED: seed})
        for row, (variant, seed) in zip(sheet.rows, found, strict=True)
    )
    return replace(sheet, rows=rows, columns=(*sheet.columns, _VARIANT, _SEED))


def _says(sheet: Sheet, column: str) -> bool:
    return any(not empty(row.cells.get(column)) for row in sheet.rows)


def _differs(sheet: Sheet, column: str) -> bool:
    return len({row.cells.get(column) for row in sheet.rows}) > 1


def empty(cell: Cell) -> bool:
    """Whether nothing stands in a field."""
    return cell is None or (isinstance(cell, str) and not cell.strip())

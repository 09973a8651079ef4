"""The option parser's refusals in our own words: what is wrong, where, what is accepted, the nearest known name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from minform_cli.errors import InputError, unknown_name


class Commands(TyperGroup):
    """A group of commands that names the nearest one when it is asked for another."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As the parser does it; `InputError` for a name that is no command."""
        if args and args[0] not in self.commands and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise unknown_name("command", args[0], self.commands)
        return super().resolve_command(ctx, args)


def usage_error(error: Exception) -> InputError | None:
    """The parser's error as ours; None if `error` is none of the parser's, or only shows the help.

    The parser's classes are told by what they carry: they live in other modules from version to version.
    """
    explain: Callable[[], str] | None = getattr(error, "format_message", None)
    message = explain() if explain is not None else None
    if not message:
        return None
    context: Any = getattr(error, "ctx", None)
    option: str | None = getattr(error, "option_name", None)
    if option is not None and hasattr(error, "possibilities"):
        known = [name for param in context.command.get_params(context) for name in (*param.opts, *param.secondary_opts)]
        return unknown_name("option", option, [name for name in known if name.startswith("-")])
    param: Any = getattr(error, "param", None)
    findings: Callable[[], Any] | None = getattr(error.__cause__, "errors", None)
    if param is not None and findings is not None:
        first = findings()[0]
        _, listed, choices = str(first["msg"]).partition(" is not one of ")
        if listed:
            return unknown_name("choice", str(first["input"]), re.findall("'([^']+)'", choices), _name(param))
        return InputError(f"{_name(param)}: {_finding(first)}, not {str(first['input'])!r}")
    path = context.command_path if context is not None else "minform"
    return InputError(f"{message[:1].lower()}{message[1:].rstrip('.')} (see {path} --help)")


def _name(param: Any) -> str:
    """``--seeds`` for an option, ``RUN`` for an argument."""
    names: list[str] = param.opts
    return names[0] if names[0].startswith("-") else names[0].upper()


def _finding(first: Any) -> str:
    if first["type"].startswith("int"):
        return "expected a whole number"
    return str(first["msg"]).replace("Input should", "should")


def refuse_others(ctx: typer.Context, chosen: str, does: str, known: Sequence[str]) -> None:
    """Raises `InputError` at the first option given beside `chosen` that is none of those `known` there.

    Args:
        ctx: of the command.
        chosen: the option.
        does: what it does, in the words of the message.
        known: parameters by name, that of `chosen` first.
    """
    accepted = [parameter.opts[0] for parameter in ctx.command.params if parameter.name in known[1:]]
    for parameter in ctx.command.params:
        name = parameter.name or ""
        source = ctx.get_parameter_source(name)
        given = source is not None and source.name == "COMMANDLINE" and ctx.params.get(name) not in (None, False, [])
        if given and name not in known:
            raise InputError(
                f"{chosen}: {does}, and {parameter.opts[0]} has no use beside it; accepted: {', '.join(accepted)}"
            )

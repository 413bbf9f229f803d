"""Contains the workarounds for typer 0.29, which reads options with pydantic and gives flags a type in the help.

typer 0.29 passes every value through pydantic, even the values of options that are absent. Options are still parsed in
one place: a value that is not obviously valid goes the usual way, and so do all values in other versions of typer.
pydantic's messages are for programmers, so they are reworded.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from typer import BadParameter, core

MAX_DIGITS = 16


def defer_pydantic() -> None:
    """Makes typer import pydantic only for the first value that needs it, unless this was already done."""
    build: Callable[[Any], Any] | None = getattr(core, "build_runtime_param", None)
    if build and not isinstance(build, _Builder):
        core.build_runtime_param = _Builder(build)  # type: ignore[attr-defined]


def hide_types_of_flags() -> None:
    """Makes the help show `--debug` instead of `--debug <bool>`, which looks as if the flag took a value."""
    told: Callable[..., str | None] | None = getattr(core.TyperOption, "display_type_rich", None)
    if told and not hasattr(told, "__wrapped__"):
        core.TyperOption.display_type_rich = _without_flags(told)  # type: ignore[method-assign]


def _without_flags(told: Callable[..., str | None]) -> Callable[..., str | None]:
    @wraps(told)
    def type_of(option: core.TyperOption, ctx: Any) -> str | None:
        return None if option.is_flag else told(option, ctx=ctx)

    return type_of


class _Builder:
    """Replaces the function with which typer creates a parameter's converter."""

    def __init__(self, build: Callable[[Any], Any]) -> None:
        self._build = build

    def __call__(self, descriptor: Any) -> Any:
        return _PlainFirst(lambda: self._build(descriptor), descriptor)


class _PlainFirst:
    """Converts plain values itself, and creates typer's converter only for other values."""

    def __init__(self, create: Callable[[], Any], descriptor: Any) -> None:
        self._create, self._descriptor = create, descriptor

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        is_list = param.multiple or param.nargs == -1
        if value is None:
            return () if is_list else None
        if not is_list and (plain := plain_value(self._descriptor, value)) is not None:
            return plain
        try:
            return self._create().coerce(value, param=param, ctx=ctx)
        except BadParameter as error:
            error.message = reworded(error.message, value)
            raise


def reworded(message: str, value: Any) -> str:
    """Returns pydantic's message about the value as one for users, such as "'x' should be a valid number"."""
    text = message.removeprefix("Value error, ")
    wanted = text.removeprefix("Input should be ")
    return text if wanted == text else f"{value!r} should be {wanted.split(', unable to parse')[0]}"


def plain_value(descriptor: Any, value: Any) -> Any:
    """Returns the value as typer would return it, or None if only typer can tell.

    Args:
        descriptor: typer's description of the parameter.
        value: the value from the command line, from the environment or of the default.
    """
    wanted, options = descriptor.annotation, descriptor.parameter_info
    if options.parser is not None:
        return None
    if get_origin(wanted) is Literal:
        return value if value in get_args(wanted) else None
    if wanted is str and type(value) is str:
        return value
    if wanted in (int, float):
        return _plain_number(wanted, value, options)
    return _plain_folder(value, options) if wanted is Path and type(value) is str else None


def _plain_number(wanted: type[Any], value: Any, options: Any) -> Any:
    is_digits = type(value) is str and value.isascii() and value.isdecimal() and len(value) < MAX_DIGITS
    if options.clamp or not (is_digits or type(value) in (wanted, int)):
        return None
    number = wanted(value)
    is_low = options.min is not None and number < options.min
    return None if is_low or (options.max is not None and number > options.max) else number


def _plain_folder(value: str, options: Any) -> Path | None:
    """Returns the path of an existing folder that this user can read, if the option asks for nothing else."""
    asks_for_more = options.file_okay or options.resolve_path or options.writable or options.path_type
    is_folder = options.exists and options.dir_okay and Path(value).is_dir() and os.access(value, os.R_OK)
    return Path(value) if is_folder and not asks_for_more else None

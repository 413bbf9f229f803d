"""Reduces the memory use and the start-up time of commands by importing less."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

# commands import these packages but do not use them (dlt 1.31, duckdb 1.5.5, pyarrow 26; 2026-11)
UNNEEDED = (
    "numpy",  # Imported by pyarrow.
    "pandas",  # Imported by pyarrow and duckdb to test whether a list or a parameter is a data frame.
    "pyarrow._s3fs",  # Imported by pyarrow.parquet for files in the cloud, as are the next three.
    "pyarrow._gcsfs",
    "pyarrow._azurefs",
    "pyarrow._hdfs",
    "pyarrow.dataset",  # Imported by duckdb to test whether an Arrow table is a dataset.
    "tornado",  # Imported by tenacity to support retries in tornado coroutines.
)

DOCSTRINGS = "pyarrow.vendored.docscrape"
# the file `dlt/destinations/__init__.py` contains nothing but these imports and a list of their names
IMPORTED = r"from (dlt\.destinations\.impl\.\w+\.factory) import (\w+)\n"
LISTED = r'\s*__all__ = \[[\w\s",]*\]\s*'


class _Blocker:
    """Rejects the import of an unneeded package, as if the package were not installed.

    The modules in _LOADERS are imported in a cheaper way.
    """

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, _target: ModuleType | None = None) -> ModuleSpec | None:
        if name in UNNEEDED:
            raise ModuleNotFoundError(f"{name} is blocked because a run does not need it", name=name)
        if not (loader := _LOADERS.get(name)) or not (found := PathFinder.find_spec(name, path)):
            return None
        if isinstance(found.loader, SourceFileLoader):
            found.loader = loader(name, found.loader.path)
        return found


class _CheapLoader(SourceFileLoader):
    """Executes a module in a cheaper way or, if that fails because the package has changed, as it is."""

    def exec_module(self, module: ModuleType) -> None:
        before = dict(vars(module))
        try:
            self.exec_cheaply(module)
        except Exception:  # whatever it is, this version of the package is not the one that the loader was written for
            vars(module).clear()
            vars(module).update(before)
            self.exec_as_it_is(module)

    def exec_cheaply(self, module: ModuleType) -> None:
        """Each loader has its own way. It may raise any exception."""
        raise NotImplementedError

    def exec_as_it_is(self, module: ModuleType) -> None:
        super().exec_module(module)


class _Destinations(_CheapLoader):
    """Imports dlt's destinations when they are used. Importing all of them takes 22 ms (dlt 1.31, 2026-11-30)."""

    def exec_cheaply(self, module: ModuleType) -> None:
        text = self.get_source(module.__name__) or ""
        modules = {name: factory for factory, name in re.findall(IMPORTED, text)}
        if not re.fullmatch(LISTED, re.sub(IMPORTED, "", text)):
            raise ImportError("the module does more than to import destinations")

        def import_factory(name: str) -> object:
            if name not in modules:
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            factory = getattr(import_module(modules[name]), name)
            setattr(module, name, factory)
            return factory

        module.__all__ = list(modules)  # type: ignore[attr-defined]
        module.__getattr__ = import_factory  # type: ignore[method-assign]


class _TypeObjects(_CheapLoader):
    """Imports DuckDB's module of DB-API types without creating a database.

    To find out what "DECIMAL" means, the module creates a database in memory, which takes 12 ms of CPU (duckdb 1.5.5,
    2026-11-30). With this loader, only a comparison of types creates it.
    """

    def exec_cheaply(self, module: ModuleType) -> None:
        from _duckdb import _sqltypes

        constructor = _sqltypes.DuckDBPyType
        _sqltypes.DuckDBPyType = _NamedType  # type: ignore[assignment,misc]
        try:
            self.exec_as_it_is(module)
        finally:
            for types in filter(None, (_sqltypes, sys.modules.get("duckdb.sqltypes"))):
                types.DuckDBPyType = constructor  # type: ignore[attr-defined]
        if _NamedType in vars(module).values():
            raise ImportError("the module has another name for the constructor")


class _NamedType:
    """Is equal to the type of that name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __eq__(self, other: object) -> bool:
        from duckdb.sqltypes import DuckDBPyType

        return bool(DuckDBPyType(self._name) == other)

    def __hash__(self) -> int:
        return hash(self._name)


class _Functions(_CheapLoader):
    """Makes pyarrow describe its compute functions without their options.

    Parsing the options' docstrings takes 10 ms of CPU whenever pyarrow.compute is imported (pyarrow 26, 2026-11-30).
    """

    def exec_cheaply(self, module: ModuleType) -> None:
        parser = ModuleType(DOCSTRINGS)
        parser.NumpyDocString = _NoParser  # type: ignore[attr-defined]
        earlier = sys.modules.get(DOCSTRINGS)
        sys.modules[DOCSTRINGS] = parser
        try:
            self.exec_as_it_is(module)
        finally:
            if earlier:
                sys.modules[DOCSTRINGS] = earlier
            else:
                del sys.modules[DOCSTRINGS]


class _NoParser:
    """Finds no descriptions in a docstring."""

    def __init__(self, docstring: str) -> None: ...

    def __getitem__(self, section: str) -> list[str]:
        return []


_LOADERS: dict[str, type[_CheapLoader]] = {
    "dlt.destinations": _Destinations,
    "duckdb._dbapi_type_object": _TypeObjects,
    "pyarrow.compute": _Functions,
}


def unblock() -> None:
    """Allows all imports again.

    The Delta backend calls this function, because dlt 1.31 writes and reads Delta tables with pyarrow.dataset.
    """
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Blocker)]


def _import_msgspec() -> None:
    """Imports msgspec without typing_extensions, which it needs for old versions of Python only.

    In a quick run, this saves 4 ms, most of them for inspect, which typing_extensions imports (2026-11-30).
    """
    if "typing_extensions" in sys.modules:
        return
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]  # Python then raises ModuleNotFoundError
    try:
        import msgspec  # noqa: F401
    finally:
        del sys.modules["typing_extensions"]


def block_unneeded() -> None:
    """Blocks optional packages, such as pandas, that libraries import although the command doesn't need them.

    For a run without changes, blocking saves a fifth of the time and 50 MB of memory (2026-11). Call this function only
    in a process that executes a single command. Call the function before any heavy imports, because a library that has
    failed to import a package does not try again.
    """
    if not any(isinstance(finder, _Blocker) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Blocker())
    # Arrow's own allocator keeps freed memory. Without it, a first load of 100,000 pickups takes 256 instead of 313 MB,
    # and one of a million takes 4 % less CPU and 409 instead of 488 MB (pyarrow 26, 2026-11-30).
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    # By default, Python looks up all functions that an extension module calls when it imports the module. If each
    # function is looked up at its first call, DuckDB and Arrow each import 5 ms faster (2026-11-30).
    if hasattr(sys, "setdlopenflags"):
        sys.setdlopenflags(os.RTLD_LAZY)
    _import_msgspec()

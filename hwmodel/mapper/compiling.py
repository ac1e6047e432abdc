"""Kernels: functions that numba compiles and keeps on disk.

numba keeps a compiled function together with all that it calls, but looks at the function's own file alone to tell
whether it is still the source. Here it looks at every file of that file's folder and of this one, and at the table
of the dims that index an operand: an edited helper is compiled anew.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import njit
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

from hwmodel.network import layer

_Function = TypeVar("_Function", bound=Callable[..., Any])
_compile: Any = partial(njit, error_model="numpy", no_cfunc_wrapper=True)
#: The numba whose inner classes `_Part` is written for; with another the same code takes longer to compile.
_KNOWN_NUMBA = ("0", "68")


def compiled(function: _Function) -> _Function:
    """What Python calls: kept on disk, with all that it calls."""
    try:
        kernel = _compile(cache=True)(function)
        if kernel is not function:  # NUMBA_DISABLE_JIT
            kept = kernel._cache._cache_file
            kept._source_stamp = (kept._source_stamp, _sources(Path(function.__code__.co_filename).parent))
    except (RuntimeError, AttributeError) as error:  # no folder to keep it in, or a numba that keeps it elsewhere
        warnings.warn(
            f"hwmodel's mapper is compiled anew in every process: {error}. Set NUMBA_CACHE_DIR to a folder that "
            "can be written.",
            stacklevel=2,
        )
        kernel = _compile()(function)
    return cast(_Function, kernel)


def internal(function: _Function) -> _Function:
    """What only compiled code calls: it has no wrapper for Python, and becomes machine code with its callers."""
    return _part(function)


def inlined(function: _Function) -> _Function:
    """An internal function that becomes a part of its callers: what takes many arrays takes longer to call."""
    return _part(function, forceinline=True)


def _part(function: _Function, **options: Any) -> _Function:
    if tuple(numba.__version__.split(".")[:2]) == _KNOWN_NUMBA:
        options["pipeline_class"] = _PartCompiler
    return cast(_Function, _compile(no_cpython_wrapper=True, **options)(function))


class _Part(JITCodeLibrary):
    """The code of an internal function: linked into what calls it, and optimised and translated with that.

    numba would do both for every function with all that it calls, and so once more at every level of calls.
    """

    def finalize(self) -> None:
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalize_dynamic_globals()  # type: ignore[no-untyped-call]
        self._finalized = True

    @property
    def codegen(self) -> Any:
        """For what wants to tell the machine code where the function's environment is: there is none yet."""
        return _NoMachineCode()


class _NoMachineCode:
    def set_env(self, name: str, environment: Any) -> None:
        """Nothing to set."""


class _PartCompiler(Compiler):
    def __init__(self, typingctx: Any, targetctx: Any, library: Any, *rest: Any) -> None:
        part: Any = _Part
        super().__init__(  # type: ignore[no-untyped-call]
            typingctx, targetctx, library or part(targetctx.codegen(), "part"), *rest
        )


@cache
def _sources(folder: Path) -> str:
    """Digest of the content of all files that the kernels of a folder are made from: it, this one, and the table of
    the dims."""
    digest = hashlib.sha256()
    folders = dict.fromkeys((Path(__file__).parent, folder))
    for path in (*(file for place in folders for file in sorted(place.glob("*.py"))), Path(layer.__file__)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()

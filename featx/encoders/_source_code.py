"""Digests of Python code: its library, its source or bytecode, and the names that it looks up when it runs."""

from __future__ import annotations

import ast
import dis
import hashlib
import importlib.metadata
import os
import sys
import sysconfig
import textwrap
import tokenize
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType

# Their classes and functions compute the same numbers in every version, since weights are published for them.
_KNOWN = {
    "featx", "functorch", "lightning", "lightning_fabric", "numpy", "pytorch_lightning", "timm", "torch", "torchvision",
}  # fmt: skip
_MAIN = (None, "__main__", "__mp_main__")
_SITE = {"site-packages", "dist-packages"}
_STDLIB = Path(sysconfig.get_path("stdlib"))
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def library_of(module: str | None, file: str | None = None) -> str | None:
    """Name the library that a module belongs to.

    Parameters
    ----------
    module : str or None
        The module's full name.
    file : str or None
        The module's file; None is the file of the imported module.

    Returns
    -------
    str or None
        The library, with its version where another version may compute other numbers. None is the user's own code,
        which includes what was installed from a folder or a repository: its code may change under one version.
    """
    if module in _MAIN:
        return None
    root = module.partition(".")[0]
    if root in _KNOWN:
        return root
    file = file or getattr(sys.modules.get(module), "__file__", None)
    parts = set(Path(file).parts) if file else set()
    if root in sys.stdlib_module_names and not parts & _SITE and (file is None or Path(file).is_relative_to(_STDLIB)):
        return root
    return _installed(root) if parts & _SITE else None


@lru_cache(maxsize=256)
def _installed(root: str) -> str | None:
    try:
        distribution = importlib.metadata.distribution(root)
    except importlib.metadata.PackageNotFoundError:
        names = importlib.metadata.packages_distributions().get(root)
        if not names:
            return None
        distribution = importlib.metadata.distribution(names[0])
    return None if distribution.read_text("direct_url.json") else f"{root} {distribution.version}"


def digest_code(code: CodeType, module: str | None) -> bytes:
    """Digest a function's source, or its bytecode where no module's file holds the source that it was made from.

    Source does not depend on Python's version. It is not used for ``__main__``, whose functions reach other processes
    by value and without source, nor if the file was edited after it was imported.

    Parameters
    ----------
    code : CodeType
        The function's code.
    module : str or None
        The module whose globals it reads.

    Returns
    -------
    bytes
        SHA-256.
    """
    digest = bytecode(code)
    file = None if module in _MAIN else getattr(sys.modules.get(module), "__file__", None)
    try:
        status = os.stat(file or "")
        found = _functions(file, status.st_size, status.st_mtime_ns).get((code.co_qualname, digest), {})
    except (OSError, SyntaxError, ValueError):  # UnicodeDecodeError is a ValueError
        return digest
    if not found:
        return digest
    # Further lines above it may have moved it since it was imported.
    text = found.get(code.co_firstlineno) or found[min(found)]
    return hashlib.sha256(b"source" + text.encode()).digest()


@lru_cache(maxsize=256)
def _functions(file: str, *_status: int) -> dict[tuple[str, bytes], dict[int, str]]:
    """Find the source of each function of a file, by its name and bytecode, and its first line."""
    with tokenize.open(file) as opened:
        text = opened.read()
    lines = text.split("\n")
    nodes: dict[tuple[str, int], list[_Function]] = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            nodes.setdefault((node.name, first), []).append(node)
        elif isinstance(node, ast.Lambda):
            nodes.setdefault(("<lambda>", node.lineno), []).append(node)
    functions: dict[tuple[str, bytes], dict[int, str]] = {}
    for code in _inside(compile(text, file, "exec", dont_inherit=True)):
        named = nodes.get((code.co_name, code.co_firstlineno), [])
        if code.co_name == "<lambda>":  # several may begin in one line: the place of the body distinguishes them
            places = set(code.co_positions())
            named = [n for n in named if isinstance(n, ast.Lambda) and _place(n.body) in places]
        if len(named) == 1:
            (node,) = named
            whole = textwrap.dedent("\n".join(lines[code.co_firstlineno - 1 : node.end_lineno]))
            source = ast.get_source_segment(text, node) if isinstance(node, ast.Lambda) else whole
            functions.setdefault((code.co_qualname, bytecode(code)), {})[code.co_firstlineno] = source or ""
    return functions


def _place(node: ast.expr) -> tuple[int, int | None, int, int | None]:
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


def _inside(code: CodeType) -> Iterator[CodeType]:
    for inner in _codes_in(code):
        yield inner
        yield from _inside(inner)


def _codes_in(code: CodeType) -> list[CodeType]:
    return [const for const in code.co_consts if isinstance(const, CodeType)]


def bytecode(code: CodeType) -> bytes:
    """Digest everything of a code that runs: the same in every process of one Python version."""
    flags = code.co_flags & 0xFFFF  # the others are what was imported from __future__ where the compiler was called
    arguments = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    parts = [code.co_code, code.co_exceptiontable, repr((arguments, names)).encode(), _constant(code.co_consts)]
    return _digest("bytecode", parts)


def _constant(value: object) -> bytes:
    """Digest a constant: the same in every process, unlike the addresses of code and the order of sets."""
    if isinstance(value, CodeType):
        return bytecode(value)
    if isinstance(value, tuple | frozenset):
        parts = map(_constant, value)
        return _digest(type(value).__name__, sorted(parts) if isinstance(value, frozenset) else parts)
    return _digest(type(value).__name__, [repr(value).encode()])


def _digest(kind: str, parts: Iterator[bytes] | list[bytes]) -> bytes:
    return hashlib.sha256(b"".join([kind.encode(), *(hashlib.sha256(part).digest() for part in parts)])).digest()


@lru_cache(maxsize=4096)
def globals_of(code: CodeType) -> tuple[frozenset[tuple[str, ...]], frozenset[tuple[str, ...]]]:
    """Find the globals that a code, and the functions inside it, read, and those that it writes.

    Each comes with the attributes that are looked up on it: ``settings.scale`` is ``("settings", "scale")``.
    """
    read: set[tuple[str, ...]] = set()
    written: set[tuple[str, ...]] = set()
    chain: tuple[str, ...] = ()
    is_written = False
    for step in dis.get_instructions(code):
        if chain and step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            chain += (step.argval,)
            if is_written:
                written.add(chain)
        elif chain and step.opname == "COPY":  # as ``settings.scale += 1`` begins
            is_written = True
        else:
            if step.opname == "STORE_GLOBAL":
                written.add((step.argval,))
            if chain and step.opname == "STORE_ATTR":
                written.add((*chain, step.argval))
            else:
                read.add(chain)
            chain, is_written = (step.argval,) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME") else (), False
    inner = [globals_of(each) for each in _codes_in(code)]
    return frozenset(read - {()}).union(*(r for r, _ in inner)), frozenset(written).union(*(w for _, w in inner))


@lru_cache(maxsize=4096)
def imports_of(code: CodeType) -> frozenset[str]:
    """Find the modules that a code, and the functions inside it, import when run; relative ones begin with dots."""
    steps = list(dis.get_instructions(code))
    found = {"." * steps[i - 2].argval + step.argval for i, step in enumerate(steps) if step.opname == "IMPORT_NAME"}
    return frozenset(found).union(*map(imports_of, _codes_in(code)))


@lru_cache(maxsize=4096)
def names_in(code: CodeType) -> frozenset[str]:
    """Find all names that a code, and the functions inside it, look up, attributes among them."""
    return frozenset(code.co_names).union(*map(names_in, _codes_in(code)))


@lru_cache(maxsize=4096)
def attributes_set_by(code: CodeType) -> frozenset[str]:
    """Find the attributes that a code sets on objects."""
    return frozenset(step.argval for step in dis.get_instructions(code) if step.opname == "STORE_ATTR")

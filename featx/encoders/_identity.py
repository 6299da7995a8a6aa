"""Identities: a digest of what a network or a function computes, which is the same in every process.

It covers all that changes the numbers: tensors, settings, structure, and the code of the user's own classes and
functions, with the globals and the closures that they read. Classes and functions of torch, torchvision, timm, numpy
and Python are identified by their names, so that an upgrade loses no rows; those of other packages by name and version.
"""

from __future__ import annotations

import copyreg
import enum
import functools
import hashlib
import importlib
import importlib.util
import inspect
import io
import logging
import pickletools
import re
import sys
import types
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.encoders._source_code import attributes_set_by, digest_code, globals_of, imports_of, library_of, names_in
from featx.exceptions import ParameterError

if TYPE_CHECKING:
    import torch

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented))
_BUILTIN = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)
_CONSTRUCTORS = {"__init__", "__new__", "__post_init__", "__init_subclass__", "__class_getitem__"}
# How a class describes, prints or pickles itself: no number depends on it.
_ASIDE = {
    "__abstractmethods__", "__annotate__", "__annotate_func__", "__annotations__", "__annotations_cache__", "__copy__",
    "__dataclass_fields__", "__dataclass_params__", "__deepcopy__", "__del__", "__dict__", "__doc__",
    "__firstlineno__", "__getstate__", "__match_args__", "__module__", "__orig_bases__", "__parameters__",
    "__qualname__", "__reduce__", "__reduce_ex__", "__repr__", "__setstate__", "__sklearn_clone__", "__slotnames__",
    "__slots__", "__static_attributes__", "__str__", "__weakref__", "_abc_impl",
}  # fmt: skip
_TRAINING = ("lightning", "pytorch_lightning")
_RUN_BY_TORCH = {"forward", "_call_impl", "_wrapped_call_impl", "_slow_forward"}
_MISSING = object()


def identify(module: torch.nn.Module, *, version: str | None = None) -> str:
    """Identify a network by what it computes.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    version : str, default=None
        If given, it stands for what cannot be identified, and for containers that are globals or enclosed.

    Returns
    -------
    str
        "state:" and SHA-256 in hex.

    Raises
    ------
    ParameterError
        If the network holds, or its code reads, something that another process could not identify, while version is
        None.
    """
    walk = _Walk(lenient=version is not None, called=_called(module))
    try:
        return f"state:{walk.digest(module).hex()}"
    except _UnidentifiableError as error:
        raise ParameterError(
            f"Got a {type(module).__name__} that cannot be identified: {error}. Expected numbers, text, arrays, "
            "tensors, functions, and containers and objects of these. Change it, or pass version='1', and another "
            "version whenever what it computes changes."
        ) from error


def identify_callable(function: Callable, parameter: str) -> str:
    """Identify a function, or an object that can be called, by what it computes.

    Parameters
    ----------
    function : callable
        The function.
    parameter : str
        The name of the parameter that it was passed as, for the error message.

    Returns
    -------
    str
        SHA-256 in hex.

    Raises
    ------
    ParameterError
        If the function holds, or its code reads, something that another process could not identify.

    Examples
    --------
    >>> from featx.encoders import identify_callable
    >>> identify_callable(lambda x: x, "augment") == identify_callable(lambda x: 255 - x, "augment")
    False
    """
    try:
        return _Walk(stateful=True).digest(function).hex()
    except _UnidentifiableError as error:
        raise ParameterError(
            f"Got {parameter}={function!r}, which another process could not identify: {error}. Expected a function, or "
            "an object that can be called, of numbers, text, arrays, tensors, functions and containers."
        ) from error


class _UnidentifiableError(Exception):
    """Something that another process could not identify."""


class _Walk:
    """One walk through all that an object holds, each part once.

    Parameters
    ----------
    lenient : bool, default=False
        Whether to pass over what cannot be identified.
    stateful : bool, default=False
        Whether to pass over what functions write as they run.
    called : frozenset of str, default=()
        The training methods of networks that forward passes call.
    """

    def __init__(self, *, lenient: bool = False, stateful: bool = False, called: frozenset[str] = frozenset()):
        self._lenient = lenient
        self._stateful = stateful
        self._called = called
        # Kept alive: an id is reused as soon as its object is gone.
        self._done: dict[tuple[int, bool], tuple[Any, bytes]] = {}
        # Those that the walk is inside of, and their numbers once something refers back to them.
        self._open: dict[tuple[int, bool], int | None] = {}
        self._loops = 0
        self._path: list[str] = []

    def digest(self, value: Any, *, made: bool = False) -> bytes:
        """Digest any object; for a class that objects are `made` of, what constructs them does not count."""
        if type(value) in _PLAIN:
            return _hash(type(value).__name__, repr(value).encode())
        key = (id(value), made)
        if isinstance(value, type) and not made and ((key[0], True) in self._open or (key[0], True) in self._done):
            key = (key[0], True)
        if key in self._done:
            return self._done[key][1]
        if key in self._open:
            if self._open[key] is None:
                self._open[key] = self._loops
                self._loops += 1
            return _hash("again", str(self._open[key]).encode())
        self._open[key] = None
        try:
            found = self._type(value, made) if isinstance(value, type) else self._describe(value)
        except RecursionError:
            found = self._give_up(value, "it is nested too deep")
        if (number := self._open.pop(key)) is not None:
            found = _hash("referred to", str(number).encode(), found)
        self._done[key] = (value, found)
        return found

    def _describe(self, value: Any) -> bytes:
        kinds = (self._of_torch, self._container, self._callable, self._attribute)
        found = (describe(value) for describe in kinds)
        return next((digest for digest in found if digest is not None), None) or self._object(value)

    def _of_torch(self, value: Any) -> bytes | None:
        import torch

        if isinstance(value, torch.nn.Module):
            return self._module(value)
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, torch.jit.ScriptFunction):
            return _script(value.save_to_buffer())
        if isinstance(value, torch._ops.OpOverload | torch._ops.OpOverloadPacket):
            return _hash("operator", str(value).encode())
        return None

    def _container(self, value: Any) -> bytes | None:
        if isinstance(value, np.ndarray | np.generic):
            return self._array(value)
        if type(value) in (list, tuple):
            return _hash(type(value).__name__, *self._items(value))
        if type(value) is dict:
            return _hash("dict", *(part for pair in value.items() for part in self._items(pair, pair[0])))
        if type(value) in (set, frozenset):
            return _hash(type(value).__name__, *sorted(self._items(value)))
        return None

    def _callable(self, value: Any) -> bytes | None:
        if hasattr(value, "_torchdynamo_orig_callable"):
            return self.digest(value._torchdynamo_orig_callable)
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.MethodType):
            return _hash("method", self.digest(value.__func__), self.digest(value.__self__))
        if isinstance(value, _BUILTIN):
            return self._builtin(value)
        if isinstance(value, functools._lru_cache_wrapper):
            return self.digest(value.__wrapped__)
        return None

    def _attribute(self, value: Any) -> bytes | None:
        """Digest what modules and classes hold beside functions."""
        if isinstance(value, types.ModuleType):
            return self._python_module(value)
        if isinstance(value, property):
            return _hash("property", self.digest(value.fget))
        if isinstance(value, staticmethod | classmethod):
            return _hash(type(value).__name__, self.digest(value.__func__))
        if isinstance(value, functools.cached_property):
            return _hash("property", self.digest(value.func))
        if isinstance(value, enum.Enum):
            return _hash("enum", self.digest(type(value), made=True), value.name.encode(), self.digest(value.value))
        return _hash("logger") if isinstance(value, logging.Logger) else None

    # --- networks

    def _module(self, module: torch.nn.Module) -> bytes:
        import torch

        # Its import takes a second, which only who compiled a network has paid.
        compiled: Any = getattr(sys.modules.get("torch._dynamo"), "OptimizedModule", ())
        if isinstance(module, compiled):
            return self.digest(module._orig_mod)
        if isinstance(module, torch.jit.ScriptModule):
            buffer = io.BytesIO()
            torch.jit.save(module, buffer)
            return _script(buffer.getvalue())
        is_graph = isinstance(module, torch.fx.GraphModule)
        kind = _hash("graph", *self._graph(module.graph)) if is_graph else self.digest(type(module), made=True)
        parts = [kind]
        bookkeeping = _bookkeeping(type(module))  # type: ignore[arg-type]  # mypy: classes are hashable
        for key, value in sorted(vars(module).items()):
            if key not in bookkeeping and not _is_unset(type(module), key, value):
                parts += [key.encode(), self._at(f".{key}", value)]
        # Buffers that are not in the state dict change the numbers too.
        tensors = {**module._parameters, **module._buffers}
        parts += [part for key in sorted(tensors) for part in (key.encode(), self._at(f".{key}", tensors[key]))]
        parts += self._packed(module)
        for name, child in module._modules.items():
            parts += [b"child", name.encode(), self._at(f".{name}", child)]
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            parts.append(b"hooks")
            for number, hook in hooks.items():
                ways = [
                    number in getattr(module, f"_forward_{way}", ())
                    for way in ("hooks_with_kwargs", "pre_hooks_with_kwargs", "hooks_always_called")
                ]
                parts += [self._at(" with the hook", hook), repr(ways).encode()]
        return _hash("module", *parts)

    def _packed(self, module: torch.nn.Module) -> list[bytes]:
        """Digest what a module keeps outside of its tensors and attributes, as quantized ones do their weights."""
        import torch

        if type(module)._save_to_state_dict is torch.nn.Module._save_to_state_dict:
            return []
        state: dict[str, Any] = {}
        module._save_to_state_dict(state, "", False)
        own = {**module._parameters, **module._buffers}
        return [b"packed", *self._items({key: value for key, value in state.items() if key not in own}.items())]

    def _graph(self, graph: torch.fx.Graph) -> Iterator[bytes]:
        import torch

        numbers = {node: number for number, node in enumerate(graph.nodes)}
        for node in graph.nodes:
            arguments = torch.fx.node.map_arg((node.args, node.kwargs), lambda used: ("node", numbers[used]))
            # The target of arguments and outputs is only a name.
            target = None if node.op in ("placeholder", "output") else node.target
            yield _hash(node.op, self._at(f" in {node.name}", target), *self._items(_plain(arguments)))

    def _tensor(self, tensor: torch.Tensor) -> bytes:
        import torch

        tensor = tensor.detach()
        kind = f"{tensor.dtype}:{tuple(tensor.shape)}"
        if tensor.is_quantized:
            return _hash("quantized", kind.encode(), self.digest(tensor.int_repr()), self.digest(tensor.dequantize()))
        if tensor.layout != torch.strided:
            return _hash("sparse", f"{tensor.layout}".encode(), self.digest(tensor.to_dense()))
        if hasattr(tensor, "__tensor_flatten__"):
            names, context = tensor.__tensor_flatten__()
            inner = self._items([getattr(tensor, name) for name in names])
            return _hash("wrapped", self.digest(type(tensor), made=True), self.digest(context), *inner)
        try:
            tensor = tensor.cpu().resolve_conj().resolve_neg().contiguous().flatten()
            return _hash("tensor", kind.encode(), tensor.view(torch.uint8).numpy())
        except (RuntimeError, NotImplementedError, TypeError) as error:
            return self._give_up(tensor, error)

    # --- code

    def _function(self, function: types.FunctionType) -> bytes:
        code, namespace = function.__code__, function.__globals__
        enclosed = {}
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                enclosed[name] = cell.cell_contents
            except ValueError:  # not filled yet
                continue
        parts = [self.digest(function.__defaults__), self.digest(function.__kwdefaults__)]
        for name, value in sorted(enclosed.items()):
            with self._inside(f"enclosed {name!r}"):
                parts += [name.encode(), self._outside(value, made=name == "__class__")]
        library = library_of(namespace.get("__name__"), code.co_filename)
        if library:
            if public := library_of(function.__module__) and _find(function):
                return _hash("library", library.encode(), public.encode())
            return _hash("library", library.encode(), digest_code(code, namespace.get("__name__")), *parts)
        written = {chain[-1] for chain in globals_of(code)[1] if chain[0] == function.__name__}
        for name, value in sorted(vars(function).items()):
            if name != "__wrapped__" and name not in written:
                parts += [name.encode(), self._at(f".{name}", value)]
        with self._inside(function.__qualname__):
            parts += self._globals(code, namespace)
        return _hash("function", digest_code(code, namespace.get("__name__")), *parts)

    def _globals(self, code: types.CodeType, namespace: dict[str, Any]) -> Iterator[bytes]:
        read, written = globals_of(code)
        for name, *attributes in sorted(read):
            if name not in namespace:  # one of Python's own
                continue
            taken, value = _follow(name, namespace[name], attributes)
            yield taken.encode()
            with self._inside(f"global {taken!r}"):
                if (name, *attributes) in written:
                    yield self._state(value)
                else:
                    yield self._outside(value)
        for name in sorted(imports_of(code)):
            module = _import(name, namespace.get("__package__"))
            if module is None:  # what the code cannot import either
                continue
            if library := library_of(module.__name__, getattr(module, "__file__", None)):
                yield _hash("library", library.encode())
                continue
            for attribute in sorted(names_in(code) & set(dir(module))):
                yield attribute.encode()
                with self._inside(f"{module.__name__}.{attribute}"):
                    yield self._outside(getattr(module, attribute))

    def _outside(self, value: Any, *, made: bool = False) -> bytes:
        """Digest what a function reads from around it; under a version, what may change as it runs does not count."""
        if self._lenient and type(value) in (dict, list, set, bytearray):
            return _hash("versioned", type(value).__name__.encode())
        return self.digest(value, made=made)

    def _state(self, value: Any) -> bytes:
        """Digest what a function writes as it runs: for a function of a training, such as a counter, nothing."""
        return _hash("state") if self._stateful else self._give_up(value, "the code writes it as it runs")

    def _builtin(self, value: Any) -> bytes:
        owner = getattr(value, "__self__", None)
        if owner is None or isinstance(owner, types.ModuleType | type):
            owner = owner if owner is not None else getattr(value, "__objclass__", None)
            owner = getattr(owner, "__qualname__", None) or getattr(owner, "__name__", None) or value.__qualname__
            library = library_of(getattr(value, "__module__", None)) or ""
            return _hash("builtin", library.encode(), owner.encode(), value.__name__.encode())
        return _hash("builtin", value.__name__.encode(), self.digest(owner))

    def _python_module(self, module: types.ModuleType) -> bytes:
        library = library_of(module.__name__, getattr(module, "__file__", None))
        if library:
            return _hash("library", module.__name__.encode(), library.encode())
        return self._give_up(module, "it is unknown what of this module is read")

    def _type(self, cls: type, made: bool) -> bytes:
        library = library_of(cls.__module__)
        is_static = not cls.__flags__ & (1 << 9)  # of C
        if library and (is_static or _find(cls)):
            return _hash("class", library.encode(), f"{cls.__module__}.{cls.__qualname__}".encode())
        if cls.__module__ == "torch.nn.utils.parametrize":  # made for one network; what it adds is a child of that
            return _hash("parametrized", self.digest(cls.__base__, made=made))
        if issubclass(cls, enum.Enum):
            names = {name for name in vars(cls) if name.startswith("_")} | set(cls.__members__)
            members = [(member.name, member.value) for member in cls]
            return _hash("enum", self.digest(members), *self._namespace(cls, names))
        training = _for_training(cls)  # type: ignore[arg-type]  # mypy: classes are hashable
        skipped = _CONSTRUCTORS | (training - self._called) if made else set()
        own = [c for c in cls.__mro__ if c is cls or not (library_of(c.__module__) and _find(c))]
        parts = [part for c in own for part in (b"class", *self._namespace(c, skipped))]
        return _hash("class", *parts, *(self.digest(c, made=made) for c in cls.__mro__ if c not in own))

    def _namespace(self, cls: type, skipped: set[str]) -> Iterator[bytes]:
        for name, value in sorted(vars(cls).items()):
            code = getattr(value, "__code__", None)
            made_by_dataclasses = code is not None and code.co_qualname.startswith("__create_fn__.")
            if name not in _ASIDE and name not in skipped and not made_by_dataclasses:
                yield name.encode()
                yield self._at(f"{cls.__qualname__}.{name}", value)

    # --- other objects

    def _object(self, value: Any) -> bytes:
        """Digest what pickle would make an object of."""
        kind = self.digest(type(value), made=True)
        try:
            registered = copyreg.dispatch_table.get(type(value))
            reduced = registered(value) if registered else value.__reduce_ex__(4)
            if isinstance(reduced, str):
                return _hash("named", kind, reduced.encode())
            make, arguments, state, items, pairs = (*reduced, *[None] * 5)[:5]
            items, pairs = list(items or ()), list(pairs or ())
        except Exception as error:  # whatever an object raises when it is pickled
            return self._give_up(value, error)
        if make in (copyreg.__newobj__, copyreg.__newobj_ex__):  # type: ignore[attr-defined]  # typeshed lacks them
            make, arguments = type(value), arguments[1:]
        parts = [kind, *([] if make is type(value) else [self.digest(make)]), *self._items(arguments)]
        derived = _cached_properties(type(value))  # type: ignore[arg-type]  # mypy: classes are hashable
        for attributes in state if isinstance(state, tuple) and len(state) == 2 else (state,):
            if isinstance(attributes, dict) and all(isinstance(key, str) for key in attributes):
                for key in sorted(attributes.keys() - derived):
                    parts += [key.encode(), self._at(f".{key}", attributes[key])]
            else:
                parts.append(self.digest(attributes))
        return _hash("object", *parts, b"items", *self._items(items), b"pairs", *self._items(pairs))

    def _array(self, array: np.ndarray | np.generic) -> bytes:
        kind = f"{type(array).__name__}:{array.dtype.str}:{array.shape}"
        if array.dtype.hasobject:
            return _hash("array", kind.encode(), self.digest(array.tolist()))
        return _hash("array", kind.encode(), repr(array.dtype.descr).encode(), array.tobytes())

    def _items(self, items: Iterable[Any], where: Any = None) -> list[bytes]:
        return [self._at(f"[{(number if where is None else where)!r}]", item) for number, item in enumerate(items)]

    def _at(self, where: str, value: Any) -> bytes:
        with self._inside(where):
            return self.digest(value)

    @contextmanager
    def _inside(self, where: str) -> Iterator[None]:
        self._path.append(where)
        try:
            yield
        finally:
            self._path.pop()

    def _give_up(self, value: Any, why: object) -> bytes:
        if self._lenient:
            return _hash("untold", type(value).__qualname__.encode())
        where = " ".join(part if part[0] in ".[ " else f", {part}" for part in self._path)
        where = re.sub(r" (?=[.,\[])", "", where).strip(", ") or "it"
        raise _UnidentifiableError(f"{where} is a {type(value).__qualname__} ({why})")


def _hash(kind: str, *parts: Any) -> bytes:
    """Compute the SHA-256 of parts of any length, such that no part can be mistaken for the end of another."""
    digest = hashlib.sha256(kind.encode())
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.digest()


def _find(thing: Any) -> str | None:
    """Find the name by which a class or a function is found in its module, if it is."""
    for name in (thing.__qualname__, thing.__name__):
        found = sys.modules.get(thing.__module__)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is thing:
            return f"{thing.__module__}.{name}"
    return None


def _follow(name: str, value: Any, attributes: list[str]) -> tuple[str, Any]:
    """Follow attributes as far as each is plainly there, without running anything."""
    for attribute in attributes:
        if isinstance(value, types.ModuleType):
            if library_of(value.__name__, getattr(value, "__file__", None)):
                break
            found = getattr(value, attribute, _MISSING)
        elif isinstance(value, type):
            found = inspect.getattr_static(value, attribute, _MISSING) if not library_of(value.__module__) else _MISSING
            found = found.__func__ if isinstance(found, staticmethod) else found
            found = found if isinstance(found, types.FunctionType) or not hasattr(found, "__get__") else _MISSING
        else:
            own = getattr(value, "__dict__", None)
            found = own.get(attribute, _MISSING) if isinstance(own, dict) else _MISSING
        if found is _MISSING:
            break
        name, value = f"{name}.{attribute}", found
    return name, value


def _import(name: str, package: str | None) -> types.ModuleType | None:
    try:
        full = importlib.util.resolve_name(name, package)
        # Of libraries the top will do: none is imported for its name.
        return sys.modules.get(full.partition(".")[0] if library_of(full) else full) or importlib.import_module(full)
    except Exception:  # whatever a module raises when it is imported
        return None


def _plain(arguments: Any) -> Any:
    """Turn torch.fx's lists and dicts into Python's."""
    if isinstance(arguments, list):
        return [_plain(item) for item in arguments]
    if type(arguments) is tuple:
        return tuple(_plain(item) for item in arguments)
    if isinstance(arguments, dict):
        return {key: _plain(item) for key, item in arguments.items()}
    return arguments


def _script(saved: bytes) -> bytes:
    """Digest what torch.jit has saved, but for its debugging and for the numbers that each process gives to classes."""
    with zipfile.ZipFile(io.BytesIO(saved)) as archive:
        members = [(name.partition("/")[2], archive.read(name)) for name in archive.namelist()]
    names: dict[bytes, bytes] = {}

    def rename(match: re.Match[bytes]) -> bytes:
        name = match[0].replace(b"\n", b".")  # as pickle writes it
        plain = re.sub(rb"___torch_mangle_\d+\.", b"", name)
        same = sum(other.startswith(plain + b"#") for other in names.values())
        return names.setdefault(name, b"%s#%d" % (plain, same))

    parts = []
    for name, content in members:
        if name.endswith(".py"):
            parts.append(re.sub(rb"__torch__(?:\.\w+)+", rename, content))
        elif name.endswith(".pkl"):
            content = pickletools.optimize(content)  # whether a part is noted for later depends on who holds it
            parts += [name.encode(), re.sub(rb"__torch__[\w.]*\n\w+", rename, content)]
        elif name.startswith(("constants/", "data/", "tensors/")):
            parts += [name.encode(), content]
    return _hash("script", *parts)


# --- what torch's own classes keep


def _is_training_code(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in ("torch", *_TRAINING)


@functools.lru_cache(maxsize=1024)
def _bookkeeping(cls: type) -> frozenset[str]:
    """Find the attributes of a network that are not settings: what torch and Lightning note, and cached properties."""
    import torch

    names = {*vars(torch.nn.Module()), "training", "_compiled_call_impl", "_is_torch_compile"} | _cached_properties(cls)
    if issubclass(cls, torch.fx.GraphModule):
        names |= {"_graph", "_code", "_lineno_map", "_prologue_start", "graph", "meta", "shape_env"}
    for base in filter(_is_training_code, cls.__mro__):
        for function in filter(inspect.isfunction, vars(base).values()):
            names |= {name for name in attributes_set_by(function.__code__) if name.startswith("_")}
    return frozenset(names - {"_hparams"})  # Lightning's, of which forward may read


@functools.lru_cache(maxsize=4096)
def _default(cls: type, setting: str) -> Any:
    for base in filter(_is_training_code, cls.__mro__):
        parameters = inspect.signature(base.__init__).parameters  # type: ignore[misc]  # of this very class
        if setting in parameters:
            return parameters[setting].default
    return _MISSING


def _is_unset(cls: type, setting: str, value: Any) -> bool:
    """Return whether a setting of torch's is off, as by default: older versions of torch do not have it."""
    return (value is None or value is False) and _default(cls, setting) is value


@functools.lru_cache(maxsize=1024)
def _cached_properties(cls: type) -> frozenset[str]:
    return frozenset(
        name for base in cls.__mro__ for name, value in vars(base).items()
        if isinstance(value, functools.cached_property)
    )  # fmt: skip


@functools.lru_cache(maxsize=1024)
def _for_training(cls: type) -> frozenset[str]:
    """Find the methods that torch.nn.Module and Lightning have besides the forward pass."""
    import torch

    bases = [
        base for base in cls.__mro__
        if base is torch.nn.Module or base.__module__.partition(".")[0] in _TRAINING
    ]  # fmt: skip
    names = {name for base in bases for name in vars(base) if not name.startswith("__")}
    return frozenset(names - _RUN_BY_TORCH)


def _called(module: torch.nn.Module) -> frozenset[str]:
    """Find the names that the forward passes of a network's classes mention, and what is called by these names."""
    waiting = []
    for cls in {base for child in module.modules() for base in type(child).__mro__}:
        if not library_of(cls.__module__):
            for name, value in vars(cls).items():
                function = inspect.unwrap(getattr(value, "fget", None) or getattr(value, "__func__", value))
                if name not in _CONSTRUCTORS and isinstance(function, types.FunctionType):
                    waiting.append((name in _for_training(cls), name, names_in(function.__code__)))
    called: set[str] = set()
    while ready := [entry for entry in waiting if not entry[0] or entry[1] in called]:
        waiting = [entry for entry in waiting if entry not in ready]
        called.update(*(names for _, _, names in ready))
    return frozenset(called)

"""Identities: networks whose outputs differ have different ones, and one network always has the same."""

from __future__ import annotations

import copy
import dataclasses
import enum
import functools
import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import threading
import types
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

import featx
from featx.encoders import resolve
from featx.encoders._identity import identify
from featx.exceptions import ParameterError
from tests.networks import TINY, make_tiny

IMAGES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Holds(nn.Module):
    """A network with one attribute of any kind, which `apply` uses."""

    def __init__(self, held, apply=None):
        super().__init__()
        self.held = held
        if apply is not None:
            self.apply_ = apply

    def forward(self, x):
        return self.apply_(x.mean((2, 3)), self.held)


class Times(Holds):
    def forward(self, x):
        return x.mean((2, 3)) * self.held


class Calls(Holds):
    def forward(self, x):
        return self.held(x.mean((2, 3)) - 0.5)


class Reads(Holds):
    """A network whose output is a number for what the attribute's repr says."""

    def forward(self, x):
        number = int.from_bytes(hashlib.sha256(repr(self.held).encode()).digest()[:6], "big")
        return torch.full((len(x), 1), number, dtype=torch.float64)


def outputs(network):
    with torch.no_grad():
        return network.eval()(IMAGES)


# --- kinds of attributes: each gives two networks that compute something else


class Way(enum.Enum):
    UP = 1
    DOWN = -1


@dataclasses.dataclass
class Scale:
    by: float = 1.0
    ways: list = dataclasses.field(default_factory=lambda: [Way.UP])

    def __call__(self, x):
        return x * self.by * self.ways[0].value

    def plus(self, x):
        return x + self.by


class Slotted:
    __slots__ = ("by",)

    def __init__(self, by):
        self.by = by

    def __call__(self, x):
        return x * self.by


def scaled(x, by):
    return x * by


def closure(by):
    return lambda x: x * by


def decorated(function):
    @functools.wraps(function)
    def wrapper(x):
        return 2 * function(x)

    return wrapper


@functools.cache
def remembered(by):
    return 2 * by


@torch.no_grad()
def up(x):
    return x * 2


@torch.no_grad()
def down(x):
    return x / 2


def sized(x, held):
    return x * len(held) + sum(held)


def first(x, held):
    return x * next(iter(held))


def keyed(x, held):
    return x * held["by"]


def named(x, held):
    return x * (2 if held == torch.float64 else 3)


def with_hook(kind, hook):
    network = Times(1.0)
    getattr(network, f"register_forward_{kind}")(hook)
    return network


def with_forward(function):
    network = make_tiny()
    network.forward = types.MethodType(function, network)
    return network


def parametrized(**options):
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    with torch.no_grad():
        network[1].weight.copy_(torch.linspace(-1, 1, 384).reshape(2, 192))
    network[1] = nn.utils.parametrizations.weight_norm(network[1], **options)
    with torch.no_grad():
        network[1].parametrizations.weight.original1.pow_(3)
        network[1].bias.zero_()
    return network


def transformer(**options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True, **options)
        return nn.Sequential(nn.Conv2d(3, 4, 8), nn.Flatten(2), nn.Unflatten(0, (-1, 1)), nn.Flatten(2), layer)


def convolution(**options):
    network = nn.Conv2d(3, 2, 3, padding=1, **options)
    nn.init.constant_(network.weight, 0.1)
    nn.init.zeros_(network.bias)
    return network


def recurrent(nonlinearity):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(2), nn.RNN(64, 4, nonlinearity=nonlinearity), First())


class First(nn.Module):
    def forward(self, pair):
        return pair[0]


def buffered(value):
    network = Holds(None, lambda x, _: x)
    network.register_buffer("shift", torch.tensor(value), persistent=False)
    network.forward = types.MethodType(lambda self, x: x + self.shift, network)
    return network


def scripted(by):
    return torch.jit.script(Scripted(by))


class Scripted(nn.Module):
    def __init__(self, by: float):
        super().__init__()
        self.by = by

    def forward(self, x):
        return x.mean((2, 3)) * self.by


def traced(by):
    return torch.fx.symbolic_trace(Times(by))


def quantized(by):
    layer = torch.ao.nn.quantized.Linear(3, 2)
    weight = torch.quantize_per_tensor(torch.full((2, 3), float(by)), 0.1, 0, torch.qint8)
    layer.set_weight_bias(weight, torch.zeros(2))

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            x = torch.quantize_per_tensor(x.mean((2, 3)), 0.01, 0, torch.quint8)
            return self.layer(x).dequantize()

    return Network()


def same_layer_twice(shared):
    one = nn.Linear(3, 3)
    nn.init.constant_(one.weight, 0.5)
    nn.init.zeros_(one.bias)
    return nn.Sequential(First3(), one, *([one] if shared else [nn.Identity()]))


class First3(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


PAIRS = {
    "function of torch": lambda: (Calls(F.relu), Calls(torch.tanh)),
    "builtin function": lambda: (Calls(torch.sigmoid), Calls(torch.tanh)),
    "method of a class": lambda: (Calls(torch.Tensor.relu), Calls(torch.Tensor.sigmoid)),
    "ufunc": lambda: (Calls(np.tanh), Calls(np.sin)),
    "operator": lambda: (Calls(torch.ops.aten.relu.default), Calls(torch.ops.aten.tanh.default)),
    "function of one's own": lambda: (Calls(up), Calls(down)),
    "lambda": lambda: (Calls(lambda x: x * 2), Calls(lambda x: x * 3)),
    "lambdas in one line": lambda: tuple(Calls(f) for f in (lambda x: x, lambda x: -x)),
    "defaults": lambda: (Calls(lambda x, by=2: x * by), Calls(lambda x, by=3: x * by)),
    "keyword defaults": lambda: (Calls(lambda x, *, by=2: x * by), Calls(lambda x, *, by=3: x * by)),
    "enclosed": lambda: (Calls(closure(2)), Calls(closure(3))),
    "decorated": lambda: (Calls(decorated(torch.tanh)), Calls(decorated(torch.sin))),
    "partial": lambda: (Calls(functools.partial(scaled, by=2)), Calls(functools.partial(scaled, by=3))),
    "bound method": lambda: (Calls(Scale(2.0).plus), Calls(Scale(3.0).plus)),
    "dataclass": lambda: (Calls(Scale(2.0)), Calls(Scale(3.0))),
    "nested enum": lambda: (Calls(Scale(2.0)), Calls(Scale(2.0, [Way.DOWN]))),
    "slots": lambda: (Calls(Slotted(2)), Calls(Slotted(3))),
    "namespace": lambda: (
        Holds(types.SimpleNamespace(by=2), lambda x, held: x * held.by),
        Holds(types.SimpleNamespace(by=3), lambda x, held: x * held.by),
    ),
    "number": lambda: (Times(2), Times(3)),
    "number of numpy": lambda: (Times(np.float32(2)), Times(np.float32(3))),
    "list": lambda: (Holds([1, 2], sized), Holds([1, 3], sized)),
    "order of a dict": lambda: (Holds({2: 0, 3: 0}, first), Holds({3: 0, 2: 0}, first)),
    "dict": lambda: (Holds({"by": 2}, keyed), Holds({"by": 3}, keyed)),
    "nested": lambda: (Holds({"by": [2, {"a": 1}][0]}, keyed), Holds({"by": [3, {"a": 1}][0]}, keyed)),
    "set": lambda: (Holds({1, 2}, sized), Holds({1, 3}, sized)),
    "array": lambda: (Holds(np.arange(3), sized), Holds(np.arange(1, 4), sized)),
    "plain tensor": lambda: (Times(torch.tensor(2.0)), Times(torch.tensor(3.0))),
    "dtype": lambda: (Holds(torch.float64, named), Holds(torch.float32, named)),
    "modules in a list": lambda: (
        Holds([nn.Tanh()], lambda x, h: h[0](x)), Holds([nn.Sigmoid()], lambda x, h: h[0](x))
    ),
    "private attribute": lambda: (Holds(types.SimpleNamespace(_by=2), lambda x, h: x * h._by),
                                  Holds(types.SimpleNamespace(_by=3), lambda x, h: x * h._by)),
    "hook": lambda: (with_hook("hook", lambda _, i, o: o * 2), with_hook("hook", lambda _, i, o: o * 3)),
    "pre-hook": lambda: (with_hook("pre_hook", lambda _, i: i[0] * 2), with_hook("pre_hook", lambda _, i: i[0] * 3)),
    "hook or none": lambda: (Times(1.0), with_hook("hook", lambda _, i, o: o * 3)),
    "forward of the instance": lambda: (with_forward(lambda self, x: x * 2), with_forward(lambda self, x: x * 3)),
    "parametrization": lambda: (parametrized(dim=0), parametrized(dim=1)),
    "norm_first": lambda: (transformer(), transformer(norm_first=True)),
    "activation": lambda: (transformer(), transformer(activation="gelu")),
    "activation function": lambda: (transformer(activation=torch.tanh), transformer(activation=torch.sin)),
    "padding_mode": lambda: (convolution(), convolution(padding_mode="reflect")),
    "approximate": lambda: (nn.GELU(), nn.GELU(approximate="tanh")),
    "nonlinearity": lambda: (recurrent("relu"), recurrent("tanh")),
    "buffer outside the state dict": lambda: (buffered(2.0), buffered(3.0)),
    "torch.jit": lambda: (scripted(2.0), scripted(3.0)),
    "torch.fx": lambda: (traced(2.0), traced(3.0)),
    "quantized": lambda: (quantized(1), quantized(2)),
    "a layer twice": lambda: (same_layer_twice(True), same_layer_twice(False)),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # on what torch is about to drop
@pytest.mark.parametrize("kind", PAIRS)
def test_networks_whose_outputs_differ_have_different_identities(kind):
    one, other = PAIRS[kind]()
    assert not torch.equal(outputs(one), outputs(other))
    assert identify(one) != identify(other)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", PAIRS)
def test_one_network_has_one_identity_when_it_is_made_again_copied_and_run(kind):
    (one, _), (again, _) = PAIRS[kind](), PAIRS[kind]()
    if kind in ("norm_first", "activation", "activation function"):
        again.load_state_dict(one.state_dict())
    before = identify(one.eval())
    outputs(one)
    again.eval()
    if kind != "torch.jit":  # to which the mode is a setting
        one.train().requires_grad_(False)
    assert before == identify(one) == identify(again) == identify(copy.deepcopy(one))


@pytest.mark.filterwarnings("ignore")
def test_a_script_has_one_identity_after_torch_has_saved_and_loaded_it():
    class Branch(nn.Module):
        def __init__(self, down):
            super().__init__()
            self.down = nn.AvgPool2d(2) if down else None

        def forward(self, x):
            if self.down is not None:
                x = self.down(x)
            return torch.relu(x - 0.5).mean()

    def script(*downs):
        network = nn.ModuleList([Branch(down) for down in downs])
        return torch.jit.script(Both(network))

    one, other = script(True, False), script(False, True)
    buffer = io.BytesIO()
    torch.jit.save(one, buffer)
    buffer.seek(0)
    assert identify(one) == identify(torch.jit.load(buffer)) == identify(script(True, False)) != identify(other)


class Both(nn.Module):
    def __init__(self, branches):
        super().__init__()
        self.branches = branches

    def forward(self, x):
        weight, total = 1.0, torch.zeros(1)
        for branch in self.branches:
            total = total + weight * branch(x)
            weight = weight + 1
        return total


# --- properties

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from([0.0, -0.0, 1.0, 1e-300])
    | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3)
    | st.lists(inner, max_size=3).map(tuple)
    | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    | st.builds(types.SimpleNamespace, a=inner)
    | st.builds(Scale, by=inner),
    max_leaves=6,
)  # fmt: skip


@given(plain, plain)
def test_attributes_give_one_identity_exactly_where_they_give_one_output(one, other):
    one, other = Reads(one), Reads(other)
    assert (identify(one) == identify(other)) == torch.equal(outputs(one), outputs(other))


@given(plain)
def test_an_identity_outlives_pickling(value):
    network = Reads(value)
    assert identify(pickle.loads(pickle.dumps(network))) == identify(network)


layers = st.one_of(
    st.builds(lambda p, s, m: functools.partial(nn.Conv2d, 3, 3, 3, padding=p, stride=s, padding_mode=m),
              st.sampled_from([1, 2]), st.sampled_from([1, 2]), st.sampled_from(["zeros", "replicate"])),
    st.builds(lambda eps: functools.partial(nn.BatchNorm2d, 3, eps=eps), st.sampled_from([1e-5, 1e-1])),
    st.builds(lambda k: functools.partial(nn.AvgPool2d, 2, 1, count_include_pad=k, padding=1), st.booleans()),
    st.builds(lambda a: functools.partial(nn.Upsample, None, 2, "bilinear", align_corners=a), st.booleans()),
    st.sampled_from([nn.ReLU, nn.SiLU, functools.partial(nn.LeakyReLU, 0.5), functools.partial(nn.GELU, "tanh")]),
)  # fmt: skip


def seeded(builders):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(*(build() for build in builders))


@settings(max_examples=60)
@given(st.lists(layers, min_size=1, max_size=3), st.lists(layers, min_size=1, max_size=3))
def test_settings_of_torchs_layers_give_different_identities_where_outputs_differ(one, other):
    one, other = seeded(one), seeded(other)
    if not torch.equal(outputs(one), outputs(other)):
        assert identify(one) != identify(other)
    assert identify(pickle.loads(pickle.dumps(one))) == identify(one)


# --- what forward reads around it

AROUND = {
    "a number": "SCALE = {}\ndef read(): return SCALE",
    "a dict": "SCALES = {{'a': [{}]}}\ndef read(): return SCALES['a'][0]",
    "a tensor": "import torch\nSCALE = torch.tensor({})\ndef read(): return SCALE",
    "an array": "import numpy as np\nSCALE = np.full(2, {})\ndef read(): return float(SCALE[0])",
    "a helper of a helper": "def deep(): return {}\ndef helper(): return deep()\ndef read(): return helper()",
    "a class": "class Settings:\n    scale = {}\ndef read(): return Settings.scale",
    "a constructor": "class Made:\n    def __init__(self): self.scale = {}\ndef read(): return Made().scale",
    "an object": "import argparse\nargs = argparse.Namespace(scale={}, out='x')\ndef read(): return args.scale",
    "a default": "def read(scale={}): return scale",
    "a comprehension": "SCALE = {}\ndef read(): return sum([SCALE for _ in range(1)])",
    "a closure": "def make(scale):\n    def read(): return scale\n    return read\nread = make({})",
    "an import inside": "def read():\n    from helpers_of_a_test import scale\n    return scale({})",
    "recursion": "def read(n={}): return n if n < 10 else read(n - 1)",
    "a cached function": "import functools\n@functools.lru_cache\ndef read(): return {}",
}


def around(body, where, monkeypatch, tmp_path):
    """A network that reads from its module, of a file or from a prompt."""
    code = (
        f"from torch import nn\n{body}\nclass Net(nn.Module):\n    def forward(self, x):\n        return x * read()\n"
    )
    if where == "prompt":
        names = {"__name__": "__main__"}
        exec(code, names)
        return names["Net"]()
    module = types.ModuleType("mine")
    module.__file__ = str(tmp_path / f"{hashlib.md5(code.encode()).hexdigest()}.py")
    Path(module.__file__).write_text(code)
    monkeypatch.setitem(sys.modules, "mine", module)
    exec(compile(code, module.__file__, "exec"), vars(module))
    return module.Net()


@pytest.mark.parametrize("where", ["file", "prompt"])
@pytest.mark.parametrize("kind", AROUND)
def test_what_forward_reads_around_it_counts(kind, where, tmp_path, monkeypatch):
    helpers = types.ModuleType("helpers_of_a_test")
    helpers.scale = lambda by: by
    monkeypatch.setitem(sys.modules, "helpers_of_a_test", helpers)
    found = []
    for number in (2.0, 3.0, 2.0):
        network = around(AROUND[kind].format(number), where, monkeypatch, tmp_path)
        found.append((identify(network), outputs(network)))
    assert found[0][0] == found[2][0] != found[1][0]
    assert not torch.equal(found[0][1], found[1][1])


def test_what_a_method_of_another_module_does_counts(monkeypatch):
    helpers = types.ModuleType("helpers_of_a_test")
    monkeypatch.setitem(sys.modules, "helpers_of_a_test", helpers)
    body = "import helpers_of_a_test\ndef read(): return helpers_of_a_test.scale()"
    identities = set()
    for helpers.scale in (lambda: 2, lambda: 3):
        identities.add(identify(around(body, "prompt", None, None)))
    assert len(identities) == 2
    helpers.unread = threading.Lock()
    assert identify(around(body, "prompt", None, None)) in identities


def test_other_attributes_of_a_global_do_not_count(monkeypatch):
    body = "import argparse\nargs = argparse.Namespace(scale=2, out={!r})\ndef read(): return args.scale"
    one, other = (identify(around(body.format(out), "prompt", None, None)) for out in ("a", "b"))
    assert one == other


def test_class_attributes_and_methods_that_were_replaced_count(monkeypatch):
    class Net(nn.Module):
        scale = 2

        def forward(self, x):
            return x * self.scale

    found = {identify(Net())}
    monkeypatch.setattr(Net, "scale", 3)
    found.add(identify(Net()))
    monkeypatch.setattr(Net, "forward", lambda self, x: x)
    found.add(identify(Net()))
    assert len(found) == 3


def test_a_file_that_was_edited_since_its_import_is_no_source(tmp_path, monkeypatch):
    body = "def read(): return {}"
    network = around(body.format(2), "file", monkeypatch, tmp_path)
    file = Path(sys.modules["mine"].__file__)
    before, text = identify(network), file.read_text()
    file.write_text("# A line more moves the code.\n" + text)
    assert identify(network) == before
    file.write_text(text.replace("return 2", "return 3"))
    assert identify(network) != identify(around(body.format(3), "file", monkeypatch, tmp_path))


# --- what does not count


class Lazy(nn.Module):
    """Keeps what it computed once."""

    def __init__(self):
        super().__init__()
        self.grids = {}

    @functools.cached_property
    def scale(self):
        return 2

    def forward(self, x):
        self.grids.setdefault(x.shape[-1], torch.ones(1))
        return (x * self.scale * remembered(3)).mean((2, 3))


def test_what_a_network_keeps_from_its_first_run_does_not_count():
    fresh, used = Lazy(), Lazy()
    used(torch.zeros(1, 3, 8, 8))
    size = featx.Preprocess(size=8)
    encoders = [featx.Encoder.from_module(network, preprocess=size) for network in (fresh, used)]
    assert encoders[0].weights == encoders[1].weights
    assert pickle.loads(pickle.dumps(encoders[0])).module is not None


def test_hooks_are_known_by_what_they_do_and_not_by_their_number():
    one, other = with_hook("hook", up_hook), Times(1.0)
    other.register_forward_hook(lambda *_: None).remove()
    other.register_forward_hook(up_hook)
    assert identify(one) == identify(other)


def up_hook(_module, _inputs, output):
    return output * 2


def test_what_torch_adds_in_a_later_version_does_not_count(monkeypatch):
    """A setting that is off unless it is asked for, private notes, and the version itself."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LSTM(4, 4), transformer())
    before = identify(network)
    construct = nn.Conv2d.__init__

    def later(self, *arguments, fused: bool = False, **options):
        self._noted = object()

    monkeypatch.setattr(nn.Conv2d, "__init__", later)
    featx.encoders._identity._bookkeeping.cache_clear()
    featx.encoders._identity._default.cache_clear()
    monkeypatch.setattr(torch, "__version__", "99.0")
    network[0].fused, network[0]._noted = False, object()
    try:
        assert identify(network) == before
        network[0].fused = True
        assert identify(network) != before
    finally:
        nn.Conv2d.__init__ = construct
        featx.encoders._identity._bookkeeping.cache_clear()
        featx.encoders._identity._default.cache_clear()


class Trained(nn.Module):
    """Has methods for its training, which read what nothing tells."""

    def forward(self, x):
        return x.mean((2, 3))

    def train(self, mode=True):
        assert LOCK is not None
        return super().train(mode)

    def __init__(self):
        super().__init__()
        self.made_under = str(LOCK)[:5]


LOCK = threading.Lock()


def test_construction_and_training_do_not_count():
    assert identify(Trained()) == identify(Trained())


def test_a_compiled_network_is_the_network():
    assert identify(torch.compile(make_tiny())) == identify(make_tiny())


# --- what cannot be identified

UNTOLD = {
    "a closure": lambda thing: Calls(lambda x: x if thing else -x),
    "an attribute": lambda thing: Holds(thing, lambda x, _: x),
    "nested": lambda thing: Holds({"a": [thing]}, lambda x, _: x),
    "a hook": lambda thing: with_hook("hook", lambda _, i, o: o if thing else None),
}


@pytest.mark.parametrize("kind", UNTOLD)
@pytest.mark.parametrize("thing", [threading.Lock(), weakref.ref(Scale), (i for i in range(3)), sys.stdout],
                         ids=["lock", "weak reference", "generator", "stream"])  # fmt: skip
def test_what_cannot_be_identified_is_refused_and_a_version_stands_for_it(kind, thing):
    with pytest.raises(ParameterError, match=rf"cannot be identified: .*{type(thing).__name__}.*version='1'"):
        identify(UNTOLD[kind](thing))
    assert identify(UNTOLD[kind](thing), version="1") == identify(UNTOLD[kind](thing), version="1")


@pytest.mark.parametrize("writes", ["STATE = STATE + 1", "args.n = args.n + 1", "args.n += 1"])
def test_a_global_that_forward_writes_is_refused(writes):
    names = "import argparse\nSTATE, args = 1, argparse.Namespace(n=1)"
    body = f"{names}\ndef read():\n    global STATE\n    {writes}\n    return STATE"
    with pytest.raises(ParameterError, match=r"global '(STATE|args\.n)' is a int \(the code writes it as it runs\)"):
        identify(around(body, "prompt", None, None))
    network = around(body, "prompt", None, None)
    before = identify(network, version="1")
    outputs(network)
    assert identify(network, version="1") == before


def test_a_lambda_of_a_library_is_known_by_its_code():
    names = {"__name__": "torch.nn.functional"}
    one, other = (eval(f"lambda x: {body}", names) for body in ("x", "-x"))
    assert identify(Calls(one)) != identify(Calls(other))


def test_the_refusal_says_where_it_is():
    with pytest.raises(ParameterError, match=r"Holds .*identified: \.held\['a'\]\[0\]\.by is a lock"):
        identify(Holds({"a": [Scale(threading.Lock())]}))
    with pytest.raises(ParameterError, match=r"global 'LOCK' is a lock"):
        identify(Calls(lambda x: LOCK and x))


def test_with_a_version_tensors_source_and_settings_still_count():
    def network(body=lambda x: x, seed=0, by=1):
        module = make_tiny(seed)
        module.lock, module.body, module.by = threading.Lock(), body, by
        return module

    networks = [network(), network(body=lambda x: -x), network(seed=1), network(by=2)]
    assert len({identify(each, version="1") for each in networks}) == 4
    assert identify(network(), version="1") == identify(network(), version="1")


def test_an_encoder_with_a_version_takes_any_network():
    network = make_tiny()
    network.lock = threading.Lock()
    network.__class__ = Copied
    with pytest.raises(ParameterError, match=r"\.lock is a lock .*version='1'"):
        featx.Encoder.from_module(network, preprocess=TINY)
    one, other = (featx.Encoder.from_module(network, preprocess=TINY, version=version) for version in "12")
    assert resolve(one)[0].fingerprint() != resolve(other)[0].fingerprint()


class Copied(type(make_tiny())):
    def __deepcopy__(self, memo):
        network = make_tiny()
        network.lock = threading.Lock()
        return network


# --- other processes

MAIN = """
import functools, json, sys, torch, numpy as np
import torch.nn.functional as F
from torch import nn
from featx.encoders import identify_callable
from featx.encoders._identity import identify

SCALES = {"a": 2.0}
WORDS = frozenset({"one", "two", "three"})

def helper(x):
    return x * SCALES["a"] if "one" in {"one", "two", "three"} else x

class Net(nn.Module):
    words = {"a", "b", "c", "d"}

    def __init__(self, act):
        super().__init__()
        self.act, self.table = act, {"x": np.arange(3), "y": [torch.ones(2)]}
        self.bag = {"one", "two", "three", 4}
        self.fc = nn.Linear(3, 2)
        nn.init.constant_(self.fc.weight, 0.1)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x):
        return self.fc(helper(self.act(x.mean((2, 3))))) if "one" in WORDS else x

def networks():
    return [Net(F.relu), Net(torch.tanh), Net(lambda x: x * 2), Net(functools.partial(F.elu, alpha=2.0))]

if __name__ == "__main__":
    print(json.dumps([identify(net) for net in networks()] + [identify_callable(helper, "augment")]))
"""

CHILD = """
if __name__ == "__main__":
    import multiprocessing
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(json.dumps(pool.map(identify, networks()[:2])))
"""

IMPORTED = """
import json
from tests.encoders.test_identity import PAIRS
from featx.encoders._identity import identify
print(json.dumps({kind: identify(pair()[0]) for kind, pair in PAIRS.items() if kind not in ("activation function",)}))
"""


def run(arguments, root, folder, seed):
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_network_of_a_script_has_one_identity_wherever_it_runs(root, tmp_path):
    (tmp_path / "script.py").write_text(MAIN + CHILD)
    script, spawned = run(["script.py"], root, tmp_path, "1")
    (command,) = run(["-c", MAIN], root, tmp_path, "2")
    names = {"__name__": "__main__"}
    exec(MAIN.partition("if __name__")[0], names)
    cell = [identify(network) for network in names["networks"]()]
    assert script == command
    assert script[:4] == cell
    assert script[:2] == spawned
    assert len(set(script)) == 5


@pytest.mark.filterwarnings("ignore")
def test_a_network_of_a_module_has_one_identity_in_every_process(root, tmp_path):
    (found,) = run(["-c", IMPORTED], root, tmp_path, "3")
    here = {kind: identify(PAIRS[kind]()[0]) for kind in found}
    assert found == here


# --- through ImageEncoder


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_two_activations_give_two_embeddings_without_a_cache(runtime, crops):
    def rows(act):
        network = Calls(act)
        encoder = featx.Encoder.from_module(network, preprocess=TINY)
        return featx.ImageEncoder(encoder, cache=False, runtime=runtime, verbose=0).transform(crops[:2])

    assert not np.allclose(rows(F.relu), rows(torch.tanh))


# --- tensors, structure and code


def test_equal_modules_have_one_identity():
    assert identify(make_tiny()) == identify(make_tiny()) == identify(copy.deepcopy(make_tiny()))


def test_identity_changes_with_one_bit_of_one_weight():
    network = make_tiny()
    before = identify(network)
    with torch.no_grad():
        network.classifier.bias[0] = torch.nextafter(network.classifier.bias[0], torch.tensor(9.0))
    assert identify(network) != before


def test_identity_changes_with_the_structure():
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()]
    other = [copy.deepcopy(layers[0]), nn.GELU()]
    assert identify(nn.Sequential(*layers)) != identify(nn.Sequential(*other))


class Scaled(nn.Module):
    def __init__(self, factor=2.0, offset=None, persistent=True):
        super().__init__()
        self.factor = factor
        self.register_buffer("offset", torch.zeros(1) if offset is None else offset, persistent=persistent)

    def forward(self, x):
        return (x * self.factor + self.offset).mean((2, 3))


def test_identity_changes_with_a_plain_attribute():
    assert identify(Scaled(2.0)) != identify(Scaled(3.0))


@pytest.mark.parametrize("persistent", [False, True])
def test_identity_changes_with_a_buffer(persistent):
    assert identify(Scaled(persistent=persistent)) != identify(Scaled(offset=torch.ones(1), persistent=persistent))


def test_identity_does_not_change_with_the_mode_or_the_gradient():
    network = make_tiny().train().requires_grad_(True)
    before = identify(network)
    assert identify(network.eval().requires_grad_(False)) == before


class Activated(nn.Module):
    """Its repr shows the address of a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def extra_repr(self):
        return f"function={self.function}"


def test_identity_does_not_change_with_an_address():
    functions = [types.FunctionType((lambda x: x).__code__, {}) for _ in range(2)]
    assert repr(Activated(functions[0])) != repr(Activated(functions[1]))
    assert identify(Activated(functions[0])) == identify(Activated(functions[1]))


def write_module(folder, monkeypatch, base):
    (folder / "mine.py").write_text(
        "import torch\n"
        f"class Base(torch.nn.Module):\n    def forward(self, x):\n        return {base}\n"
        "class Net(Base):\n    pass\n"
    )
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    import mine

    return mine.Net()


def test_identity_changes_with_the_source_of_a_base_class(tmp_path, monkeypatch):
    identities = set()
    for number, base in enumerate(("x * 2", "x * 3", "x * 2")):
        folder = tmp_path / str(number)
        folder.mkdir()
        identities.add(identify(write_module(folder, monkeypatch, base)))
    sys.modules.pop("mine", None)
    assert len(identities) == 2


def at_a_prompt(body):
    names = {"__name__": "prompt"}
    exec(f"import torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        {body}", names)
    return names["Net"]()


def test_identity_of_a_class_from_a_prompt_changes_with_its_code():
    bodies = [
        "return x * 2",
        "return x * 3",
        "return x.mean()",
        "return [y * 2 for y in x]",
        "return [y * 3 for y in x]",
    ]
    assert len({identify(at_a_prompt(body)) for body in bodies}) == len(bodies)
    assert len({identify(at_a_prompt(body)) for body in 2 * bodies}) == len(bodies)


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.bool, torch.complex64]
)
def test_tensors_of_every_type_and_shape_count(dtype):
    def module(tensor):
        holder = nn.Module()
        holder.register_buffer("tensor", tensor.to(dtype))
        return holder

    tensors = [torch.tensor(1), torch.tensor(0), torch.zeros(0), torch.zeros(2, 3), torch.zeros(3, 2)]
    assert len({identify(module(tensor)) for tensor in tensors}) == len(tensors)


def test_layout_in_memory_does_not_count():
    network = make_tiny()
    assert identify(network) == identify(make_tiny().to(memory_format=torch.channels_last))

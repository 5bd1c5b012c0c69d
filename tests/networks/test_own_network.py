"""Networks of one's own: what they must give, and that they are computed as they are written."""

import importlib
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from lib.networks import checkpoints, classifier, own_network
from lib.networks.batches import Batch, Batches
from lib.networks.cpu_speed import Scorer
from lib.networks.stepper import Stepper
from lib.study import paths
from lib.study.quirks import Quirks
from lib.study.schema import Model, ParameterError, Training

NETS = """
import torch
from torch import nn
from torch.nn import functional as F


class Tiny(nn.Sequential):
    '''BatchNorm, and a last layer that can be told.'''
    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
        )


class Maps(nn.Sequential):
    '''Features that are maps.'''
    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True),
            nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 12, 1), nn.BatchNorm2d(12),
        )


class View(nn.Module):
    '''Takes no channels last in memory; its last layer's size is not known before.'''
    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.fc = nn.LazyLinear(2)

    def forward(self, x):
        x = F.max_pool2d(self.bn(self.conv(x)).relu(), 4)
        return self.fc(x.view(len(x), -1))


class Flow(nn.Module):
    '''Control flow that depends on the data.'''
    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 2)
        self.a, self.b = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)

    def forward(self, x):
        x = self.conv(x)
        x = self.a(self.bn(x)) if x.mean() > 0 else self.b(self.bn(x))
        while x.std() > 0.5:
            x = x / 2
        return self.fc(x.relu().mean((2, 3)))


class Exits(nn.Module):
    '''Which of two last layers gives the logits depends on the data.'''
    def __init__(self):
        super().__init__()
        self.conv, self.a, self.b = nn.Conv2d(3, 8, 3), nn.Linear(8, 2), nn.Linear(8, 2)

    def forward(self, x):
        x = self.conv(x).relu().mean((2, 3))
        y = self.a(x)
        return y if y.abs().mean() > 0.25 else self.b(x)


class Functional(nn.Module):
    '''No layers at all.'''
    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(8, 3, 3, 3) / 5)
        self.weight = nn.Parameter(torch.randn(8, 2))

    def forward(self, x):
        return F.conv2d(x, self.kernel, stride=2).tanh().mean((2, 3)) @ self.weight


class Cosine(nn.Module):
    '''The last layer's weights are used, and it is never called.'''
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 2)

    def forward(self, x):
        x = F.normalize(self.conv(x).relu().mean((2, 3)))
        return 5 * F.linear(x, F.normalize(self.fc.weight), self.fc.bias)


class Vit(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.token = nn.Conv2d(3, 16, 8, 8), nn.Parameter(torch.zeros(1, 1, 16))
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        return self.head(self.blocks(x)[:, 0])


class Dropout(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Linear(8, 2)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        x = self.drop(self.bn(self.conv(x)).relu().mean((2, 3)))
        return self.fc(F.dropout(x, 0.1, self.training))


class Shared(nn.Module):
    '''A convolution that is called twice, before two batch norms, and has two names.'''
    def __init__(self):
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1)
        self.again = self.conv
        self.one, self.two, self.fc = nn.BatchNorm2d(8), nn.BatchNorm2d(8), nn.Linear(8, 2)

    def forward(self, x):
        x = self.one(self.conv(self.stem(x))).relu()
        return self.fc(self.two(self.again(x)).relu().mean((2, 3)))


class Tied(nn.Module):
    '''A convolution's weights are used elsewhere, too.'''
    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        y = self.bn(self.conv(x)).relu()
        back = F.conv_transpose2d(y, self.conv.weight, padding=1)
        return self.fc((x - back).abs().mean((2, 3)))


class InPlace(nn.Module):
    '''What is pooled, of one pixel in the end, is changed in place and used besides.'''
    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.Linear(8, 2)
        self.pool = nn.MaxPool2d(3, 2, 1)

    def forward(self, x):
        x = self.bn(self.conv(x))
        x += 1
        for _ in range(6):
            z = self.pool(x)
            z.add_(1.5)
            x = z + x[..., : z.shape[-2], : z.shape[-1]] / 2
        return self.fc(x.mean((2, 3)))


class Loop(nn.Module):
    '''Images one by one, without a batch's axis.'''
    def __init__(self):
        super().__init__()
        self.conv, self.deep = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1)
        self.fc = nn.Linear(8, 2)

    def forward(self, x):
        return self.fc(torch.stack([self.deep(self.conv(one).relu()).mean((1, 2)) for one in x]))


class HighPass(nn.Conv2d):
    def forward(self, x):
        weight = self.weight - self.weight.mean((2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, padding=1)


class Constrained(nn.Module):
    '''A convolution of its own, and logits that are pooled.'''
    def __init__(self):
        super().__init__()
        self.first, self.bn, self.last = HighPass(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 2, 1)

    def forward(self, x):
        return self.last(self.bn(self.first(x)).relu()).mean((2, 3))


class Spectrum(nn.Module):
    '''Features without parameters, of an operator that bfloat16 has not.'''
    def forward(self, x):
        return torch.fft.fft2(x.mean(1)).abs().log1p().flatten(1)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rows, self.fc = nn.LazyLinear(8), nn.Linear(8, 2)
        self.memory = nn.GRU(8, 8, batch_first=True)

    def forward(self, x):
        return self.fc(self.memory(self.rows(x.permute(0, 2, 3, 1).flatten(2)))[0][:, -1])


def spectral():
    norm = nn.utils.parametrizations.spectral_norm
    return nn.Sequential(norm(nn.Conv2d(3, 8, 3)), nn.BatchNorm2d(8), nn.ReLU())


def backbone():
    import timm
    return timm.create_model("test_efficientnet", num_classes=0)
"""
FEATURES = ("Maps", "Spectrum", "spectral", "backbone")
LOGITS = ("Tiny", "Dropout", "Recurrent", "View", "Exits", "Functional", "Cosine", "Constrained")
LOGITS += ("InPlace", "Flow", "Vit", "Shared", "Tied", "Loop")


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A project's folder of the test's own; modules written there are forgotten afterwards."""
    known = set(sys.modules)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    (tmp_path / "odd_nets.py").write_text(NETS)
    yield tmp_path
    for name in set(sys.modules) - known:
        if (
            getattr(sys.modules[name], "__file__", None)
            and str(tmp_path) in sys.modules[name].__file__
        ):
            del sys.modules[name]


def build(name: str, seed: int = 0, patch_size: int = 32, **options) -> classifier.PatchNet:
    model = Model(name=name if ":" in name else f"odd_nets:{name}")
    return classifier.PatchNet(model, seed=seed, patch_size=patch_size, **options)


def drawn(count: int, size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=generator)


def train(network: classifier.PatchNet, patch_size: int, precision: torch.dtype) -> Stepper:
    """Some steps, so that batch norms fold to something."""
    stepper = Stepper(network.train(), drawn(16, 32), torch.arange(16) % 2, patch_size, precision)
    batches = Batches(Training(batch_size=16, learning_rate=1e-2), 0, 32, patch_size)
    batches.keep(np.arange(16), np.arange(16) % 2)
    for batch, rate in [next(batches.of(epoch)) for epoch in range(5)]:
        assert torch.isfinite(stepper.step(batch, rate))
    return stepper


@pytest.mark.parametrize("patch_size", [8, 32])
@pytest.mark.parametrize("name", [*FEATURES, *LOGITS])
def test_margins_are_those_of_the_plain_forward(root, name, patch_size):
    network, patches = build(name, patch_size=patch_size), drawn(8, patch_size)
    precision = torch.float32 if network.in_float32 else torch.bfloat16
    before = {type(module) for module in network.modules()}
    train(network, patch_size, precision)
    assert {type(module) for module in network.modules()} == before  # no layer took another form
    with torch.inference_mode():
        backbone = network.eval().backbone
        y = backbone.body(patches.permute(0, 3, 1, 2).float().contiguous() / 127.5 - 1)
        logits = backbone.last(y.mean((2, 3)) if y.ndim == 4 else y)
        expected = logits[:, 1] - logits[:, 0]
        scored = Scorer(network, torch.float32).margins(patches)
        torch.testing.assert_close(scored, expected, rtol=1e-5, atol=1e-6)
        rounded = Scorer(network, precision).margins(patches)
        assert rounded.dtype == torch.float32
        assert (rounded - expected).abs().max() < 0.1 * expected.abs().max()
    assert len(scored.unique()) == 8


@pytest.mark.parametrize("name", LOGITS)
def test_a_network_with_logits_of_its_own_is_in_float32(root, name):
    assert build(name, patch_size=8).in_float32


@pytest.mark.parametrize("name", FEATURES)
def test_features_get_a_last_layer_in_float32_and_may_be_bfloat16(root, name):
    network = build(name)
    assert not network.in_float32 and network.backbone.get_classifier().out_features == 2


@pytest.mark.parametrize("name", ["Maps", "spectral"])
def test_no_margins_tie_in_bulk_in_bfloat16(root, name):
    network = build(name, patch_size=8).eval()
    with torch.inference_mode():
        margins = network.margins(drawn(512, 8), torch.bfloat16)
        scored = Scorer(network, torch.bfloat16).margins(drawn(512, 8))
    for z in (margins, scored):
        assert z.dtype == torch.float32
        assert len(z.unique()) > 450  # bfloat16 has 256 values per octave


@pytest.mark.parametrize("name", ["Tiny", "Maps", "View", "Functional"])
def test_the_seed_fixes_the_initialisation_and_leaves_torchs_own_generator_alone(root, name):
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first, again, other = (build(name, seed).eval() for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    with torch.inference_mode():
        z = [network.margins(drawn(4, 32)) for network in (first, again, other)]
    assert torch.equal(z[0], z[1]) and not torch.equal(z[0], z[2])


def test_trying_a_network_changes_nothing_in_it(root):
    sys.path.insert(0, str(root))
    torch.manual_seed(3)
    expected = importlib.import_module("odd_nets").Tiny()
    sys.path.remove(str(root))
    network = build("Tiny", seed=3).train()
    found = network.backbone.state_dict()
    for (name, value), other in zip(expected.state_dict().items(), found.values(), strict=True):
        assert torch.equal(value, other), name
    assert all(parameter.grad is None for parameter in network.parameters())
    assert network.training and network.backbone.body.training


@pytest.mark.parametrize("name", ["Shared", "Vit", "View", "Recurrent"])
def test_states_are_read_back_bit_for_bit(root, name, tmp_path):
    network, other = build(name), build(name, seed=9)
    first, second = (train(n, 32, torch.float32) for n in (network, other))
    checkpoints.save(tmp_path, network, first.optimizer)
    checkpoints.restore(tmp_path, other, second.optimizer)
    for stepper in (first, second):
        torch.manual_seed(0)  # for dropout
        stepper.step(Batch(np.arange(16), np.zeros((16, 2), int), np.zeros(16, bool)), 1e-2)
    for expected, found in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(expected, found)


def test_other_quirks_show_it_something_else(root):
    plain, turned = build("Tiny").eval(), build("Tiny", quirks=Quirks(bgr_raw_values=True)).eval()
    with torch.inference_mode():
        assert not torch.allclose(plain.margins(drawn(4, 32)), turned.margins(drawn(4, 32)))


# What is refused, and what is said then.

NOT_MADE = f"cannot be made ({own_network.MAKES})"
FORWARD = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
    def forward(self, x):
        return {}
"""
REFUSED = {
    "batch_lost": (
        FORWARD.format("self.conv(x).mean((0, 2, 3))[None]"),
        ["float32 (1, 8)", "B is 4"],
    ),
    "one_number": (
        FORWARD.format("self.conv(x).mean((1, 2, 3))"),
        ["float32 (4,)", "(B, 2) logits"],
    ),
    "sequence": (FORWARD.format("self.conv(x).flatten(2)"), ["(4, 8, 900)", "or features (B, F)"]),
    "labels": (FORWARD.format("self.conv(x).mean((2, 3)).long()"), ["torch.int64 (4, 8)"]),
    "tuple": (FORWARD.format("x, self.conv(x)"), ["gives a tuple; allowed"]),
    "nan": (FORWARD.format("self.conv(x) / 0 * 0"), ["gives numbers that are not finite"]),
    "too_small": (
        FORWARD.format("nn.functional.avg_pool2d(self.conv(x), 64)"),
        ["given float32 (4, 3, 32, 32) it fails: RuntimeError: "],
    ),
    "no_parameters": (
        FORWARD.format("x.mean((2, 3))[:, :2]").replace("self.conv = nn.Conv2d(3, 8, 3)", ""),
        ["it has no parameters to train"],
    ),
    "detached": (
        FORWARD.format("self.conv(x).detach().mean((2, 3))[:, :2]"),
        ["cannot be trained and copied: RuntimeError: element 0 of tensors does not require grad"],
    ),
    "cannot_be_copied_after_a_step": (
        FORWARD.format("setattr(self, 'last_maps', self.conv(x)) or self.last_maps"),
        ["cannot be trained and copied: RuntimeError: Only Tensors created explicitly"],
    ),
    "fails_in_training_alone": (
        FORWARD.format("self.conv(x) if not self.training else self.conv(x).view(7)"),
        ["cannot be trained and copied: RuntimeError: shape '[7]'"],
    ),
    "arguments": (
        "from torch import nn\nclass Net(nn.Module):\n    def __init__(self, width): pass\n",
        [
            "cannot be made (name a class of nn.Module, or a function",
            "without arguments): TypeError: ",
        ],
    ),
    "no_module": (
        "def Net(): return 3\n",
        [f"{NOT_MADE}: TypeError: it makes a int"],
    ),
    "not_callable": (
        "Net = 3\n",
        [f"{NOT_MADE}: TypeError: 'int' object"],
    ),
    "made_already": (
        "from torch import nn\nNet = nn.Linear(3, 2)\n",
        [f"{NOT_MADE}: TypeError: Linear.forward()"],
    ),
    "broken": (
        "import torch\nNet = torch.no_such_thing\n",
        ["importing it failed: AttributeError"],
    ),
    "syntax": ("class Net(:\n", ["importing it failed: SyntaxError"]),
    "wants_another": ("import no_such_package\n", ["importing it failed: ModuleNotFoundError"]),
    "other_name": ("class Nets: pass\n", ["defines no 'Net' (did you mean Nets?)"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_give_what_it_must_is_refused(root, case):
    source, said = REFUSED[case]
    (root / f"case_{case}.py").write_text(source)
    with pytest.raises(ParameterError) as refused:
        build(f"case_{case}:Net")
    assert str(refused.value).startswith(f"model.name: case_{case}:Net: ")
    for words in said:
        assert words in str(refused.value)


def test_a_module_that_is_not_there_is_named_with_one_like_it(root):
    with pytest.raises(ParameterError, match=r"no module 'od_nets' from .*mean odd_nets\?"):
        build("od_nets:Tiny")
    with pytest.raises(ParameterError, match="no module 'odd_nets.more'"):
        build("odd_nets.more:Tiny")


@pytest.mark.parametrize(
    "name", ["odd_nets:", ":Tiny", "odd_nets:Tiny:2", "odd nets:Tiny", "a/b:C"]
)
def test_a_name_that_is_none_is_refused(root, name):
    with pytest.raises(ParameterError, match="write module:attribute, such as my_nets:Tiny"):
        build(name)


def test_timms_quirk_and_weights_are_not_to_be_had(root):
    with pytest.raises(ParameterError, match=r"quirks\.dense_xception: odd_nets:Tiny is no name"):
        build("Tiny", quirks=Quirks(dense_xception=True))
    with pytest.raises(ParameterError, match=r"model\.pretrained: there are no pretrained weights"):
        classifier.PatchNet(Model(name="odd_nets:Tiny", pretrained=True), seed=0)


def test_a_name_that_timm_does_not_know_says_how_ones_own_are_named():
    with pytest.raises(ParameterError, match="a network of your own is named module:attribute"):
        classifier.PatchNet(Model(name="Tiny"), seed=0)


def test_an_edited_module_is_imported_anew(root):
    source = textwrap.dedent(FORWARD).format("self.conv(x)")
    (root / "edited.py").write_text(source)
    assert build("edited:Net").backbone.body.conv.out_channels == 8
    (root / "edited.py").write_text(source.replace("3, 8, 3", "3, 12, 3"))
    assert build("edited:Net").backbone.body.conv.out_channels == 12
    assert str(root) not in sys.path

"""The patch classifier: margins in float32, plain timm weights, the quirks of what it sees."""

import os
import subprocess
import sys
import textwrap

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import arrays
from torch import nn

from lib.networks import classifier
from lib.study.quirks import Quirks
from lib.study.schema import Model

SMALL = Model(name="test_resnet")
SEPARABLE = Model(name="test_efficientnet")
PATCHES = st.tuples(st.integers(1, 3), st.integers(1, 6)).flatmap(
    lambda shape: arrays(np.uint8, (shape[0], shape[1], shape[1], 3))
)


def run_python(code: str, **environment: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment or None)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def patches() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (6, 16, 16, 3), dtype=torch.uint8, generator=generator)


def test_schemas_are_declared_only_where_torchvisions_own_operators_did_not_load():
    printed = run_python(
        """
        from lib.networks import classifier
        timm = classifier.import_timm()
        import torchvision
        print(len(classifier._declared) == (not torchvision.extension._has_ops()), timm.__name__)
        """
    )
    assert printed.split() == ["True", "timm"]


def test_nothing_is_declared_beside_a_torchvision_that_imports(tmp_path):
    for name in ("torchvision", "timm"):
        (tmp_path / f"{name}.py").write_text("")
    printed = run_python(
        f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from lib.networks import classifier
        classifier.import_timm()
        print(classifier._declared)
        """
    )
    assert printed.strip() == "[]"


def test_another_failure_of_torchvision_is_not_hidden(tmp_path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('some other trouble')")
    printed = run_python(
        f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from lib.networks import classifier
        try:
            classifier.import_timm()
        except RuntimeError as error:
            print(error)
        """
    )
    assert printed.strip() == "some other trouble"


def test_no_more_threads_than_a_containers_share():
    code = "import torch; from lib.networks import classifier; print(torch.get_num_threads())"
    given = {**os.environ, "OMP_NUM_THREADS": "2", "LOKY_MAX_CPU_COUNT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "1"


def test_the_default_backbone_is_timms_xception():
    network = classifier.PatchNet(Model(), seed=0)
    assert classifier.parameter_count(network) == 20_811_050  # study.md's count for two classes


def test_the_seed_fixes_the_initialisation_and_leaves_torchs_own_generator_alone(patches):
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first, again, other = (classifier.PatchNet(SMALL, seed=seed).eval() for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    with torch.inference_mode():
        assert torch.equal(first.margins(patches), again.margins(patches))
        assert not torch.equal(first.margins(patches), other.margins(patches))


def test_the_margin_is_the_difference_of_the_logits(patches):
    network = classifier.PatchNet(SMALL, seed=0).eval()
    with torch.inference_mode():
        logits = network.logits(patches)
        assert torch.equal(network.margins(patches), logits[:, 1] - logits[:, 0])
        p_fake = logits.softmax(dim=1)[:, 1]
    torch.testing.assert_close(p_fake, torch.sigmoid(logits[:, 1] - logits[:, 0]))


def test_the_margins_equal_those_of_plain_timm(patches):
    network = classifier.PatchNet(SMALL, seed=0).eval()
    plain = classifier.import_timm().create_model("test_resnet", num_classes=2).eval()
    plain.load_state_dict(network.backbone.state_dict())
    with torch.inference_mode():
        logits = plain(classifier.network_input(patches, Quirks()))
        torch.testing.assert_close(network.margins(patches), logits[:, 1] - logits[:, 0])


def test_margins_stay_float32_and_do_not_tie_in_bulk_with_a_bfloat16_backbone():
    network = classifier.PatchNet(SMALL, seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    many = torch.randint(0, 256, (512, 8, 8, 3), dtype=torch.uint8, generator=generator)
    with torch.inference_mode():
        margins = network.margins(many, torch.bfloat16)
    assert margins.dtype == torch.float32
    assert len(margins.unique()) > 500  # bfloat16 has 256 values per octave


def shown(patches: np.ndarray, **on: bool) -> np.ndarray:
    """What a network is shown of uint8 (B, p, p, 3)."""
    x = classifier.network_input(torch.from_numpy(patches), Quirks(**on))
    assert x.dtype == torch.float32
    return x.numpy()


def test_network_input_maps_the_bytes_to_minus_one_to_one():
    x = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 2, 1).expand(1, 1, 2, 3)
    assert classifier.network_input(x, Quirks())[0, 0, 0].tolist() == [-1.0, 1.0]
    assert classifier.network_input(x, Quirks()).shape == (1, 3, 1, 2)


BYTES = np.arange(0, 240, 20, dtype=np.uint8).reshape(1, 2, 2, 3)


def test_what_a_network_is_shown_by_hand():
    """Of the pixels (0, 20, 40), (60, 80, 100), (120, 140, 160) and (180, 200, 220)."""
    red, green, blue = [[0, 60], [120, 180]], [[20, 80], [140, 200]], [[40, 100], [160, 220]]
    assert shown(BYTES, bgr_raw_values=True)[0].tolist() == [blue, green, red]
    plain = (shown(BYTES) + 1) * 127.5
    np.testing.assert_allclose(plain[0], [red, green, blue], rtol=1e-6)
    scrambled = (shown(BYTES, scrambled_layout=True) + 1) * 127.5
    rows = [[[0, 20], [40, 60]], [[80, 100], [120, 140]], [[160, 180], [200, 220]]]
    np.testing.assert_allclose(scrambled[0], rows, rtol=1e-6)
    both = shown(BYTES, bgr_raw_values=True, scrambled_layout=True)
    turned = [[[40, 20], [0, 100]], [[80, 60], [160, 140]], [[120, 220], [200, 180]]]
    assert both[0].tolist() == turned


@given(PATCHES)
def test_off_a_network_is_shown_red_green_and_blue_planes(patches):
    planes = np.stack([patches[..., channel] for channel in range(3)], axis=1)
    np.testing.assert_array_equal(shown(patches), planes.astype(np.float32) / 127.5 - 1)
    others = {"dense_xception": True, "strips": True, "last_patch_only": True}
    np.testing.assert_array_equal(shown(patches, **others), shown(patches))


@given(PATCHES)
def test_a_scrambled_layout_reads_the_bytes_as_they_lie(patches):
    count, size = patches.shape[:2]
    read = np.frombuffer(patches.tobytes(), np.uint8).reshape(count, 3, size, size)
    expected = read.astype(np.float32) / 127.5 - 1
    np.testing.assert_array_equal(shown(patches, scrambled_layout=True), expected)


@given(PATCHES)
def test_raw_values_are_those_of_opencv(patches):
    planes = np.stack([patches[..., channel] for channel in (2, 1, 0)], axis=1)
    np.testing.assert_array_equal(shown(patches, bgr_raw_values=True), planes)


@given(PATCHES)
def test_the_channels_are_turned_round_before_the_layout_is_scrambled(patches):
    """OpenCV reads the picture, the script's array of it is reshaped then."""
    count, size = patches.shape[:2]
    picture = np.ascontiguousarray(patches[..., ::-1])
    read = np.frombuffer(picture.tobytes(), np.uint8).reshape(count, 3, size, size)
    found = shown(patches, bgr_raw_values=True, scrambled_layout=True)
    np.testing.assert_array_equal(found, read)


def test_what_is_shown_does_not_depend_on_how_patches_lie_in_memory(patches):
    turned = patches.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    assert not turned.is_contiguous()
    for on in ({}, {"scrambled_layout": True}, {"scrambled_layout": True, "bgr_raw_values": True}):
        expected = classifier.network_input(patches, Quirks(**on))
        assert torch.equal(classifier.network_input(turned, Quirks(**on)), expected)


@pytest.mark.parametrize(
    "on",
    [
        {"scrambled_layout": True},
        {"bgr_raw_values": True},
        {"scrambled_layout": True, "bgr_raw_values": True},
    ],
)
def test_a_network_is_shown_what_its_quirks_say(patches, on):
    network = classifier.PatchNet(SMALL, seed=0, quirks=Quirks(**on)).eval()
    plain = classifier.PatchNet(SMALL, seed=0).eval()
    with torch.inference_mode():
        logits = network.backbone(classifier.network_input(patches, Quirks(**on)))
        torch.testing.assert_close(network.margins(patches), logits[:, 1] - logits[:, 0])
        assert not torch.allclose(network.margins(patches), plain.margins(patches))


def convolutions(network: nn.Module) -> dict[str, nn.Conv2d]:
    return {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d)}


def assert_only_depthwise_became_dense(
    plain: classifier.PatchNet, dense: classifier.PatchNet
) -> None:
    before, after = convolutions(plain), convolutions(dense)
    assert list(before) == list(after)
    depthwise = {name for name, conv in before.items() if conv.groups > 1}
    assert depthwise
    for name, conv in before.items():
        new = after[name]
        assert new.groups == 1
        for key in ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation"):
            assert getattr(new, key) == getattr(conv, key), (name, key)
        assert (new.bias is None) == (conv.bias is None)
    weights = dense.state_dict()
    for name, tensor in plain.state_dict().items():
        if name.removesuffix(".weight") in depthwise:
            many, one, *kernel = tensor.shape
            assert (one, weights[name].shape) == (1, (many, many, *kernel))
            assert weights[name].std() > 0
        else:
            assert torch.equal(tensor, weights[name]), name


@pytest.fixture(scope="module")
def dense_xception() -> classifier.PatchNet:
    return classifier.PatchNet(Model(), seed=0, quirks=Quirks(dense_xception=True))


def test_a_dense_xception_has_the_parameters_of_a_missing_groups(dense_xception):
    assert classifier.parameter_count(dense_xception) == 181_572_002
    plain = classifier.PatchNet(Model(), seed=0)
    assert_only_depthwise_became_dense(plain, dense_xception)


def test_a_dense_xception_judges_patches(dense_xception):
    generator = torch.Generator().manual_seed(0)
    patches = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8, generator=generator)
    dense_xception.eval()
    with torch.inference_mode():
        margins = dense_xception.margins(patches)
    assert margins.shape == (3,)
    assert margins.isfinite().all()
    assert len(margins.unique()) == 3


def test_any_backbone_with_depthwise_convolutions_can_be_made_dense(patches):
    on = Quirks(dense_xception=True)
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first, again, other = (
        classifier.PatchNet(SEPARABLE, seed=s, quirks=on).eval() for s in (1, 1, 2)
    )
    assert torch.equal(before, torch.random.get_rng_state())
    assert_only_depthwise_became_dense(classifier.PatchNet(SEPARABLE, seed=1), first)
    dense = [
        name
        for name, c in convolutions(classifier.PatchNet(SEPARABLE, seed=1)).items()
        if c.groups > 1
    ]
    for name in dense:
        weights = [convolutions(network)[name].weight for network in (first, again, other)]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])
    with torch.inference_mode():
        assert torch.equal(first.margins(patches), again.margins(patches))
        assert not torch.equal(first.margins(patches), other.margins(patches))


def test_off_the_backbone_keeps_its_depthwise_convolutions():
    others = Quirks(scrambled_layout=True, bgr_raw_values=True, strips=True)
    for network in (classifier.PatchNet(SEPARABLE, seed=0, quirks=q) for q in (None, others)):
        assert any(conv.groups > 1 for conv in convolutions(network).values())


def test_a_backbone_without_depthwise_convolutions_cannot_be_made_dense():
    with pytest.raises(
        ValueError, match=r"quirks\.dense_xception: test_resnet has no depthwise"
    ) as e:
        classifier.PatchNet(SMALL, seed=0, quirks=Quirks(dense_xception=True))
    assert "set model.name to legacy_xception" in str(e.value)


def test_there_are_no_pretrained_weights_of_a_dense_backbone(monkeypatch):
    timm = classifier.import_timm()
    create = timm.create_model
    monkeypatch.setattr(
        timm, "create_model", lambda *a, **k: create(*a, **{**k, "pretrained": False})
    )
    with pytest.raises(
        ValueError, match=r"quirks\.dense_xception: there are no pretrained weights"
    ):
        classifier.PatchNet(
            SEPARABLE.model_copy(update={"pretrained": True}),
            seed=0,
            quirks=Quirks(dense_xception=True),
        )


def test_an_unknown_backbone_is_named():
    with pytest.raises(ValueError, match="timm knows no 'xceptoin'"):
        classifier.PatchNet(Model(name="xceptoin"), seed=0)


def test_a_missing_gpu_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert classifier.pick_device("auto").type == "cpu"
    with pytest.raises(ValueError, match="training.device: got 'cuda'"):
        classifier.pick_device("cuda")


def test_precision_follows_what_the_device_computes_natively(monkeypatch):
    cpu = torch.device("cpu")
    for native, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda n=native: n)
        assert classifier.pick_precision("auto", cpu) == expected
    assert classifier.pick_precision("bf16", cpu) == "bf16"

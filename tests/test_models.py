"""The patch classifier: margins in float32, plain timm weights, and timm beside any torchvision."""

import subprocess
import sys
import textwrap

import pytest
import torch

from lib import models
from lib.study import Model

SMALL = Model(name="test_resnet")


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
        from lib import models
        timm = models.import_timm()
        import torchvision
        print(len(models._declared) == (not torchvision.extension._has_ops()), timm.__name__)
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
        from lib import models
        models.import_timm()
        print(models._declared)
        """
    )
    assert printed.strip() == "[]"


def test_another_failure_of_torchvision_is_not_hidden(tmp_path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('some other trouble')")
    printed = run_python(
        f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from lib import models
        try:
            models.import_timm()
        except RuntimeError as error:
            print(error)
        """
    )
    assert printed.strip() == "some other trouble"


def test_the_default_backbone_is_timms_xception():
    network = models.PatchNet(Model(), seed=0)
    assert models.parameter_count(network) == 20_811_050  # study.md's count for two classes


def test_the_seed_fixes_the_initialisation_and_leaves_torchs_own_generator_alone(patches):
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first, again, other = (models.PatchNet(SMALL, seed=seed).eval() for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    with torch.inference_mode():
        assert torch.equal(first.margins(patches), again.margins(patches))
        assert not torch.equal(first.margins(patches), other.margins(patches))


def test_the_margin_is_the_difference_of_the_logits(patches):
    network = models.PatchNet(SMALL, seed=0).eval()
    with torch.inference_mode():
        logits = network.logits(patches)
        assert torch.equal(network.margins(patches), logits[:, 1] - logits[:, 0])
        p_fake = logits.softmax(dim=1)[:, 1]
    torch.testing.assert_close(p_fake, torch.sigmoid(logits[:, 1] - logits[:, 0]))


def test_the_margins_equal_those_of_plain_timm(patches):
    network = models.PatchNet(SMALL, seed=0).eval()
    plain = models.import_timm().create_model("test_resnet", num_classes=2).eval()
    plain.load_state_dict(network.backbone.state_dict())
    with torch.inference_mode():
        logits = plain(models.normalise(patches))
        torch.testing.assert_close(network.margins(patches), logits[:, 1] - logits[:, 0])


def test_margins_stay_float32_and_do_not_tie_in_bulk_with_a_bfloat16_backbone():
    network = models.PatchNet(SMALL, seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    many = torch.randint(0, 256, (512, 8, 8, 3), dtype=torch.uint8, generator=generator)
    with torch.inference_mode():
        margins = network.margins(many, torch.bfloat16)
    assert margins.dtype == torch.float32
    assert len(margins.unique()) > 500  # bfloat16 has 256 values per octave


def test_normalise_maps_the_bytes_to_minus_one_to_one():
    x = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 2, 1).expand(1, 1, 2, 3)
    assert models.normalise(x)[0, 0, 0].tolist() == [-1.0, 1.0]
    assert models.normalise(x).shape == (1, 3, 1, 2)


def test_an_unknown_backbone_is_named():
    with pytest.raises(ValueError, match="timm knows no 'xceptoin'"):
        models.PatchNet(Model(name="xceptoin"), seed=0)


def test_a_missing_gpu_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert models.pick_device("auto").type == "cpu"
    with pytest.raises(ValueError, match="training.device: got 'cuda'"):
        models.pick_device("cuda")


def test_precision_follows_what_the_device_computes_natively(monkeypatch):
    cpu = torch.device("cpu")
    for native, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda n=native: n)
        assert models.pick_precision("auto", cpu) == expected
    assert models.pick_precision("bf16", cpu) == "bf16"

"""Linear layers whose products oneDNN takes, against torch's own and against float64."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import coplay.core.processor as machine
import coplay.nets.products as module
from coplay import Config, Federation
from coplay.cli.main import main
from coplay.core import storage
from coplay.core.errors import ConfigError
from coplay.core.processor import Processor, by_onednn_here, matrix_products, onednn
from coplay.core.streams import isolated_seed, stream
from coplay.games.md_gan_stack import Stack
from coplay.nets.gan_pairs import mlp_discriminator
from coplay.nets.products import Linear, by_onednn, product, products
from coplay.run.versions import MATRIX_PRODUCTS, versions

from ..by_hand import cut
from .small_gans import LABELLED, acgan, images

LARGE = torch.zeros(1024, 2048)
has_onednn = pytest.mark.skipif(onednn() is None, reason="this torch has no oneDNN")


@pytest.fixture(autouse=True)
def _all_by_onednn(monkeypatch):
    """The small ones too, and on processors that are faster without it."""
    monkeypatch.setattr(module, "_WORTH", 0)
    monkeypatch.setattr(module, "uses_onednn", lambda: onednn() is not None)


def twins(inputs, outputs, bias=True):
    with isolated_seed(1):
        ours = Linear(inputs, outputs, bias=bias)
        torchs = nn.Linear(inputs, outputs, bias=bias)
    torchs.load_state_dict(ours.state_dict())
    return ours, torchs


def slopes(layer, x, weights):
    """Value, and derivatives of a weighted sum of outputs by the input and every parameter."""
    x = x.clone().requires_grad_()
    y = layer(x)
    return [y.detach(), *torch.autograd.grad((y * weights).sum(), [x, *layer.parameters()])]


def apart(actual, expected):
    """Largest difference as a share of the largest number."""
    return ((actual.double() - expected.double()).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("n", "inputs", "outputs"), [(1, 1, 1), (1, 5, 3), (7, 3, 1), (20, 784, 512), (300, 100, 64)]
)
def test_values_and_derivatives_are_those_of_float64(n, inputs, outputs, bias):
    ours, torchs = twins(inputs, outputs, bias)
    x, weights = (
        torch.randn(n, inputs, generator=stream(1)),
        torch.randn(n, outputs, generator=stream(2)),
    )
    actual, own = slopes(ours, x, weights), slopes(torchs, x, weights)
    exact = slopes(torchs.double(), x.double(), weights.double())
    for mine, its, right in zip(actual, own, exact, strict=True):
        assert mine.shape == right.shape
        assert mine.is_contiguous()
        assert apart(mine, right) <= max(3 * apart(its, right), 1e-6)


def test_several_layers_are_each_alone():
    layers = [twins(6, 4)[0] for _ in range(3)]
    for i, layer in enumerate(layers):
        nn.init.normal_(layer.weight, generator=stream(3, i))
    x, weights = (
        torch.randn(3, 5, 6, generator=stream(4)),
        torch.randn(3, 5, 4, generator=stream(5)),
    )
    together = x.clone().requires_grad_()
    y = products(together, [layer.weight for layer in layers], [layer.bias for layer in layers])
    parameters = [p for layer in layers for p in layer.parameters()]
    by_x, *by_parameter = torch.autograd.grad((y * weights).sum(), [together, *parameters])
    expected = [slopes(layer, x[i], weights[i]) for i, layer in enumerate(layers)]
    assert apart(by_x, torch.stack([one[1] for one in expected])) < 1e-6
    for mine, right in zip(
        by_parameter, [slope for one in expected for slope in one[2:]], strict=True
    ):
        assert apart(mine, right) < 1e-6


def test_a_frozen_layer_gives_a_derivative_by_its_input_alone():
    layer, torchs = twins(6, 4)
    layer.requires_grad_(False)
    x = torch.randn(5, 6, generator=stream(6), requires_grad=True)
    (slope,) = torch.autograd.grad(layer(x).sum(), x)
    assert apart(slope, torchs.weight.sum(0).expand(5, 6)) < 1e-6
    assert not layer(x.detach()).requires_grad


@has_onednn
def test_operations_are_counted_as_torch_counts_its_own():
    counts = []
    for layer in twins(30, 20):
        net = nn.Sequential(layer, nn.Tanh(), nn.Flatten())
        with FlopCounterMode(display=False) as counter:
            net(torch.ones(7, 30, requires_grad=True)).sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


@has_onednn
@pytest.mark.parametrize(
    "other", ["float64", "bfloat16", "autocast", "switched off", "small", "more dimensions"]
)
def test_whatever_else_is_torchs_to_the_last_bit(other, monkeypatch):
    layer, torchs = twins(8, 4)
    x = torch.randn(3, 8, generator=stream(7))
    if other in ("float64", "bfloat16"):
        dtype = getattr(torch, other)
        layer, torchs, x = layer.to(dtype), torchs.to(dtype), x.to(dtype)
    elif other == "more dimensions":
        x = x[:, None].expand(3, 2, 8)
    elif other == "small":
        monkeypatch.setattr(module, "_WORTH", 3 * 8 * 4 + 1)
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", other != "switched off")
    with torch.autocast("cpu", torch.bfloat16, enabled=other == "autocast"):
        assert by_onednn(3, layer.weight) == (other == "more dimensions")
        assert torch.equal(layer(x), torchs(x))
        if other != "more dimensions":
            assert torch.equal(product(x, layer.weight, layer.bias), torchs(x))


@pytest.mark.parametrize(
    "worth",
    [0, 300, 10_000],
    ids=["oneDNN", "oneDNN for the largest layer", "one product over all"],
)
def test_a_stack_in_float32_is_each_alone(worth, monkeypatch):
    """This holds for either library. The other test, to twelve digits, is in float64."""
    alone, together = ([acgan() for _ in range(3)] for _ in range(2))
    for models in (alone, together):
        for seed, model in enumerate(models):
            model.setup(LABELLED, seed)
    x = {}
    c = {}
    for word in ("real", "fake"):
        samples = [images(LABELLED, 4, word, i) for i in range(3)]
        x[word] = torch.stack([s["image"] for s in samples])
        c[word] = torch.stack([s["class"] for s in samples])
    monkeypatch.setattr(module, "_WORTH", worth)
    stack = Stack.of(together)
    for _ in range(3):
        losses = stack.learn_to_judge(torch.cat([x["real"], x["fake"]], 1), c["real"], c["fake"])
        expected = [
            model.learn_to_judge(x["real"][i], c["real"][i], x["fake"][i], c["fake"][i])
            for i, model in enumerate(alone)
        ]
        assert losses.tolist() == pytest.approx(expected, rel=1e-5)
    taught, _ = stack.feedback(x["fake"], c["fake"])
    for i, (one, other) in enumerate(zip(alone, together, strict=True)):
        assert apart(taught[i], one.feedback(x["fake"][i], c["fake"][i])[0]) < 1e-4
        for p, q in zip(
            one.half("discriminator").parameters(),
            other.half("discriminator").parameters(),
            strict=True,
        ):
            assert torch.allclose(p, q, atol=1e-5)


@has_onednn
def test_the_same_bits_every_time():
    with isolated_seed(1):
        net = mlp_discriminator(10, (28, 28))
    x = torch.rand(20, 28, 28, generator=stream(8))
    first = torch.autograd.grad(net(x).square().sum(), list(net.parameters()))
    for shift in range(3):
        moved = torch.empty(x.numel() + shift)[shift:].view_as(x).copy_(x)  # elsewhere in memory
        again = torch.autograd.grad(net(moved).square().sum(), list(net.parameters()))
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


# ------------------------------------------------------------------------------ the faster library


@pytest.mark.parametrize(
    ("maker", "capability", "choice", "expected"),
    [
        ("AuthenticAMD", "AVX512", "", True),
        ("AuthenticAMD", "AVX512", "auto", True),
        ("HygonGenuine", "AVX512", "", True),
        ("AuthenticAMD", "AVX2", "", False),
        ("GenuineIntel", "AVX512", "", False),
        ("GenuineIntel", "AVX2", "", False),
        ("", "AVX512", "", False),
        ("", "DEFAULT", "", False),
        ("AuthenticAMD", "AVX512", "torch", False),
        ("GenuineIntel", "AVX512", "onednn", True),
    ],
)
@has_onednn
def test_the_maker_of_the_processor_decides(maker, capability, choice, expected):
    assert by_onednn_here(choice, Processor(maker, "", capability)) is expected


def test_an_unknown_choice_is_refused():
    with pytest.raises(ConfigError, match="COPLAY_PRODUCTS=blis: expected onednn, torch or auto"):
        by_onednn_here("blis", Processor("", "", ""))


@pytest.mark.parametrize(
    ("processor", "title"),
    [
        (Processor("AuthenticAMD", "AMD EPYC", "AVX512"), "AMD EPYC, AVX-512"),
        (Processor("GenuineIntel", "Intel Xeon", "AVX2"), "Intel Xeon, AVX2"),
        (Processor("GenuineIntel", "", "DEFAULT"), "GenuineIntel"),
        (Processor("", "", ""), "unknown processor"),
    ],
)
def test_a_processor_is_named(processor, title):
    assert processor.title == title


def test_processors_are_read_from_what_the_system_says(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CPU_INFO", tmp_path / "cpuinfo")
    text = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel Xeon\n"
    (tmp_path / "cpuinfo").write_text(text + "\n" + text.replace("Xeon", "other"))
    processor = machine.this_processor.__wrapped__()
    assert (processor.maker, processor.model) == ("GenuineIntel", "Intel Xeon")
    monkeypatch.setattr(machine, "_CPU_INFO", tmp_path / "missing")
    windows = "AMD64 Family 25 Model 97, AuthenticAMD"
    monkeypatch.setattr(machine.platform, "processor", lambda: windows)
    assert machine.this_processor.__wrapped__().maker == "AuthenticAMD"
    monkeypatch.setattr(machine.platform, "processor", lambda: "arm")
    assert machine.this_processor.__wrapped__().maker == ""


@has_onednn
@pytest.mark.parametrize("choice", [True, False], ids=["oneDNN", "torch"])
def test_either_choice_gives_the_same_values_and_derivatives(choice, monkeypatch):
    monkeypatch.setattr(module, "uses_onednn", lambda: choice)
    assert by_onednn(3, LARGE) is choice
    ours, torchs = twins(40, 30)
    x, weights = torch.randn(20, 40, generator=stream(1)), torch.randn(20, 30, generator=stream(2))
    for mine, its in zip(slopes(ours, x, weights), slopes(torchs, x, weights), strict=True):
        assert torch.equal(mine, its) or (choice and apart(mine, its) < 1e-5)
    assert apart(product(x, ours.weight, ours.bias), torchs(x)) < 1e-5
    several = products(x[None], [ours.weight], [ours.bias])
    assert apart(several[0], torchs(x)) < 1e-5
    names = set()
    steps = [several.grad_fn]
    while steps:
        step = steps.pop()
        names.add(type(step).__name__)
        steps += [following for following, _ in step.next_functions if following is not None]
    assert ("_ProductsBackward" in names) is choice


def test_the_version_and_a_run_say_what_multiplies(capsys, monkeypatch):
    assert versions()[MATRIX_PRODUCTS] == matrix_products()
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("coplay ")
    assert second == f"matrix products: {matrix_products()}"
    monkeypatch.setenv(machine.CHOICE, "blis")
    machine.uses_onednn.cache_clear()
    try:
        with pytest.raises(SystemExit) as end:
            main(["--version"])
        assert end.value.code == 2
        assert "expected onednn, torch or auto" in capsys.readouterr().err
    finally:
        machine.uses_onednn.cache_clear()


def test_a_resume_on_another_processor_is_noted(tmp_path):
    config = Config.from_dict(
        {
            "model": "exponential_family",
            "game": {"name": "isolated", "rounds": 3},
            "measure": {"metrics": []},
        }
    )
    folder = cut(config, tmp_path / "run", 1, "isolated")
    record = storage.read_sealed(folder / "run.json")
    assert record.get("notes", []) == []
    record["versions"][MATRIX_PRODUCTS] = "MKL (Intel Xeon, AVX-512)"
    storage.write_sealed(folder / "run.json", record)

    def stop(what, done, of):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Federation.resume(folder, stop)
    (note,) = Federation.resume(folder).record.notes  # the second time it is there already
    assert note == (
        f"resumed where matrix products are those of {matrix_products()}; it began with "
        "MKL (Intel Xeon, AVX-512), and the last digits of what networks learn depend on it"
    )

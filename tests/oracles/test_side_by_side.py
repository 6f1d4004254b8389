"""Workers that take their steps together learn what they learn one after the other.

Whatever their discriminators are made of: a stack that passes over a hook, a frozen layer or a
class of one's own would train another network.
"""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from coplay.core.streams import isolated_seed
from coplay.games.md_gan import MdGan
from coplay.games.md_gan_stack import AdamSettings, stack_key
from coplay.models.acgan import Acgan
from coplay.nets.gan_pairs import split_at_batch_layers, treats_each_sample_by_itself

from .small_gans import LABELLED, Table, acgan, apart, discriminator, flat


def chain(classes, shape, **replaced):
    """The layers of a discriminator by name, some of them replaced."""
    layers = {
        "flat": nn.Flatten(-len(shape)),
        "first": nn.Linear(math.prod(shape), 6),
        "bend": nn.LeakyReLU(0.2),
        "second": nn.Linear(6, 6),
        "bend_again": nn.Tanh(),
        "last": nn.Linear(6, 1 + classes),
    }
    return nn.Sequential(*(layers | replaced).values())


# -------------------------------------------------------------- discriminators that are not plain


class Louder(nn.Linear):
    def forward(self, x):
        return 3 * super().forward(x)


class Softer(nn.LeakyReLU):
    def forward(self, x):
        return super().forward(x) / 2


class OwnChain(nn.Sequential):
    def forward(self, x):
        return super().forward(x) * 2


class Marked(nn.Parameter):
    pass


def subclass_of_linear(classes, shape):
    return chain(classes, shape, second=Louder(6, 6))


def subclass_of_activation(classes, shape):
    return chain(classes, shape, bend=Softer(0.2))


def subclass_of_sequential(classes, shape):
    return OwnChain(*chain(classes, shape))


def forward_hook(classes, shape):
    net = chain(classes, shape)
    net[3].register_forward_hook(lambda layer, args, output: 2 * output)
    return net


def forward_pre_hook(classes, shape):
    net = chain(classes, shape)
    net[3].register_forward_pre_hook(lambda layer, args: (args[0] * 2,))
    return net


def hook_on_activation(classes, shape):
    net = chain(classes, shape)
    net[2].register_forward_hook(lambda layer, args, output: 2 * output)
    return net


def hook_on_chain(classes, shape):
    net = chain(classes, shape)
    net.register_forward_hook(lambda layer, args, output: 2 * output)
    return net


def full_backward_hook(classes, shape):
    net = chain(classes, shape)
    net[3].register_full_backward_hook(lambda layer, by_inputs, by_outputs: (by_inputs[0] * 3,))
    return net


def gradient_hook(classes, shape):
    net = chain(classes, shape)
    net[3].weight.register_hook(lambda gradient: gradient.clamp(-1e-3, 1e-3).sign())
    return net


def post_accumulate_hook(classes, shape):
    net = chain(classes, shape)

    def only_signs(p):
        p.grad.sign_()

    net[3].weight.register_post_accumulate_grad_hook(only_signs)
    return net


def forward_of_one_layer(classes, shape):
    net = chain(classes, shape)
    net[3].forward = lambda x: nn.functional.linear(x, net[3].weight.abs(), net[3].bias)
    return net


def spectral_norm(classes, shape):
    return chain(classes, shape, second=parametrizations.spectral_norm(nn.Linear(6, 6)))


def weight_norm(classes, shape):
    return chain(classes, shape, second=parametrizations.weight_norm(nn.Linear(6, 6)))


def old_spectral_norm(classes, shape):
    return chain(classes, shape, second=nn.utils.spectral_norm(nn.Linear(6, 6)))


def old_weight_norm(classes, shape):
    return chain(classes, shape, second=nn.utils.weight_norm(nn.Linear(6, 6)))


def pruned(classes, shape):
    net = chain(classes, shape)
    prune.l1_unstructured(net[3], "bias", amount=0.5)
    return net


def frozen_layer(classes, shape):
    net = chain(classes, shape)
    net[1].requires_grad_(False)
    return net


def frozen_bias(classes, shape):
    net = chain(classes, shape)
    net[3].bias.requires_grad_(False)
    return net


def activation_twice(classes, shape):
    tanh = nn.Tanh()
    return chain(classes, shape, bend=tanh, bend_again=tanh)


def layer_twice(classes, shape):
    net = chain(classes, shape)
    return nn.Sequential(net[0], net[1], net[2], net[3], nn.Tanh(), net[3], net[4], net[5])


def tied_weight(classes, shape):
    net = chain(classes, shape)
    tied = nn.Linear(6, 6)
    tied.weight = net[3].weight
    return nn.Sequential(*net[:5], tied, *net[5:])


def shared_memory(classes, shape):
    net = chain(classes, shape)
    sharing = nn.Linear(6, 6)
    sharing.weight = nn.Parameter(net[3].weight.detach().t())
    return nn.Sequential(*net[:5], sharing, *net[5:])


def transposed_weight(classes, shape):
    net = chain(classes, shape)
    net[1].weight = nn.Parameter(net[1].weight.detach().t().contiguous().t())
    return net


def own_parameter_class(classes, shape):
    net = chain(classes, shape)
    net[3].weight = Marked(net[3].weight.detach())
    return net


def batch_norm(classes, shape):
    return chain(classes, shape, bend_again=nn.BatchNorm1d(6))


def without_bias(classes, shape):
    return chain(classes, shape, second=nn.Linear(6, 6, bias=False))


def unused_buffer(classes, shape):
    net = chain(classes, shape)
    net[3].register_buffer("note", torch.ones(2), persistent=False)
    return net


def unused_parameter(classes, shape):
    net = chain(classes, shape)
    net[3].register_parameter("extra", nn.Parameter(torch.ones(2)))
    return net


def parameter_of_the_chain(classes, shape):
    net = chain(classes, shape)
    net.register_parameter("extra", nn.Parameter(torch.ones(2)))
    return net


def nested(classes, shape):
    net = chain(classes, shape)
    return nn.Sequential(net[0], nn.Sequential(*net[1:4]), *net[4:])


def module_of_its_own(classes, shape):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = chain(classes, shape)

        def forward(self, x):
            return self.body(x)

    return Net()


ALONE = [
    subclass_of_linear,
    subclass_of_activation,
    subclass_of_sequential,
    forward_hook,
    forward_pre_hook,
    hook_on_activation,
    hook_on_chain,
    full_backward_hook,
    gradient_hook,
    post_accumulate_hook,
    forward_of_one_layer,
    spectral_norm,
    weight_norm,
    old_spectral_norm,
    old_weight_norm,
    pruned,
    frozen_layer,
    frozen_bias,
    activation_twice,
    layer_twice,
    tied_weight,
    shared_memory,
    transposed_weight,
    own_parameter_class,
    batch_norm,
    without_bias,
    unused_buffer,
    unused_parameter,
    parameter_of_the_chain,
    nested,
    module_of_its_own,
]


# ------------------------------------------------------------------ discriminators that are plain


def named_layers(classes, shape):
    net = chain(classes, shape)
    named = nn.Sequential()
    for name, layer in zip(("flat", "first", "bend", "second", "x", "last"), net, strict=True):
        named.add_module(name, layer)
    return named


def overwriting_activation(classes, shape):
    first = nn.ELU(inplace=True)
    return nn.Sequential(first, *chain(classes, shape, bend=nn.LeakyReLU(0.2, inplace=True)))


def judging(classes, shape):
    """A network in evaluation mode, which plain layers do not know."""
    return chain(classes, shape).eval()


def rows_of_the_image_first(classes, shape):
    first = nn.Linear(shape[-1], 3)
    rest = chain(classes, (*shape[:-1], 3))
    return nn.Sequential(first, nn.SiLU(), *rest)


TOGETHER = [named_layers, overwriting_activation, judging, rows_of_the_image_first]


# ------------------------------------------------------- discriminators that differ by their seed


def by_lot(choices):
    return choices[int(torch.randint(len(choices), (), device="cpu"))]


def slope_by_lot(classes, shape):
    return chain(classes, shape, bend=nn.LeakyReLU(by_lot([0.1, 0.3, 0.6])))


def activation_by_lot(classes, shape):
    return chain(classes, shape, bend=by_lot([nn.ReLU(), nn.GELU(), nn.Sigmoid()]))


def width_by_lot(classes, shape):
    width = by_lot([4, 7])
    return chain(
        classes, shape, first=nn.Linear(math.prod(shape), width), second=nn.Linear(width, 6)
    )


def hook_by_lot(classes, shape):
    return by_lot([chain(classes, shape), forward_hook(classes, shape)])


UNLIKE = [slope_by_lot, activation_by_lot, width_by_lot, hook_by_lot]


# -------------------------------------------------------------- models that change how steps go


class Gentler(Acgan):
    """Another loss of the discriminator."""

    def discriminate(self, images):
        return super().discriminate(images) / 2

    def discriminate_both(self, real, fake):
        return super().discriminate_both(real, fake) / 2


class OwnOptimizer(Acgan):
    """An optimizer whose settings differ by parameter, or another one."""

    kind: str = "groups"

    def setup(self, space, seed):
        super().setup(space, seed)
        slow, *others = self.half("discriminator").parameters()
        if self.kind == "groups":
            groups = [{"params": [slow], "lr": 1e-4}, {"params": others}]
            optimizer = torch.optim.Adam(groups, lr=0.01, fused=True)
        elif self.kind == "weight_decay":
            optimizer = torch.optim.Adam([slow, *others], lr=0.01, weight_decay=0.1, fused=True)
        elif self.kind == "amsgrad":
            optimizer = torch.optim.Adam([slow, *others], lr=0.01, amsgrad=True, fused=True)
        elif self.kind == "subset":
            optimizer = torch.optim.Adam(others, lr=0.01, fused=True)
        elif self.kind == "sgd":
            optimizer = torch.optim.SGD([slow, *others], lr=0.01, momentum=0.9)
        elif self.kind == "schedule":
            optimizer = torch.optim.Adam([slow, *others], lr=0.01, fused=True)
            self._schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        else:
            optimizer = torch.optim.Adam([slow, *others], lr=1e-4 * (seed % 97), fused=True)
        self._halves._optimisers["discriminator"] = optimizer


def tables(model, **game):
    """The same players, once by network and once in a loop, after two rounds."""
    game = {"local_steps": 3, "rounds": 100, "swap_every_epochs": 2 / 3, **game}
    played = []
    for way in ("by_network", "loop"):
        t = Table(MdGan(side_by_side=way, **game), model, [12] * 4, LABELLED)
        t.rows = t.play(2)
        played.append(t)
    return played


def distance(one, other):
    """The largest relative distance over all networks of two tables."""
    nets = [apart(one.values("server", "generator"), other.values("server", "generator"))]
    nets += [apart(one.values(name), other.values(name)) for name in one.workers]
    return max(nets)


def with_discriminator(make, **settings):
    return acgan(discriminator=f"{__name__}:{make.__name__}", discriminator_steps=2, **settings)


@pytest.mark.parametrize("make", ALONE, ids=lambda make: make.__name__)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_network_that_is_not_plain_takes_its_steps_alone(make):
    by_network, loop = tables(with_discriminator(make))
    assert by_network.rows[0].own["stacked"] == []
    assert distance(by_network, loop) == 0


@pytest.mark.parametrize("make", TOGETHER, ids=lambda make: make.__name__)
def test_a_plain_chain_learns_in_a_stack_what_it_learns_alone(make):
    by_network, loop = tables(with_discriminator(make))
    assert by_network.rows[0].own["stacked"] == ["w0", "w1", "w2", "w3"]
    assert distance(by_network, loop) < 1e-5


@pytest.mark.parametrize("make", UNLIKE, ids=lambda make: make.__name__)
def test_only_networks_of_one_structure_share_a_stack(make):
    by_network, loop = tables(with_discriminator(make), swap_every_epochs=0)
    keys = {stack_key(player.model) for player in loop.workers.values()}
    assert len(keys) > 1, "all players drew the same"
    assert distance(by_network, loop) < 1e-5


def test_a_model_with_steps_of_its_own_takes_them():
    names = {half: f"tests.oracles.small_gans:{half}" for half in ("generator", "discriminator")}
    by_network, loop = tables(Gentler(latent=3, batch=4, learning_rate=0.01, **names))
    assert by_network.rows[0].own["stacked"] == []
    assert distance(by_network, loop) == 0


@pytest.mark.parametrize(
    "kind", ["groups", "weight_decay", "amsgrad", "subset", "sgd", "schedule", "by_player"]
)
@pytest.mark.filterwarnings("ignore:Detected call of")
def test_an_optimizer_of_ones_own_takes_its_own_steps(kind):
    names = {half: f"tests.oracles.small_gans:{half}" for half in ("generator", "discriminator")}
    model = OwnOptimizer(kind=kind, latent=3, batch=4, **names)
    by_network, loop = tables(model)
    assert by_network.rows[0].own["stacked"] == ["w0", "w1", "w2", "w3"]
    assert distance(by_network, loop) < 1e-5


def test_a_global_hook_is_heeded():
    with isolated_seed(1):
        net = discriminator(3, (4, 4))
    handle = nn.modules.module.register_module_forward_hook(lambda layer, args, output: None)
    model = with_discriminator(named_layers)
    model.setup(LABELLED, 1)
    try:
        assert stack_key(model) is None
    finally:
        handle.remove()
    assert stack_key(model) is not None
    assert AdamSettings.of(torch.optim.SGD(net.parameters()), list(net.parameters())) is None


def test_a_layer_of_ones_own_may_look_at_its_batch():
    """So real and generated samples pass it apart, and so do batches of a generator."""
    makers = (forward_hook, subclass_of_linear, spectral_norm)
    with isolated_seed(1):
        net = chain(3, (4, 4))
        others = [make(3, (4, 4)) for make in makers]
    for other in others:
        assert [len(part) for part in split_at_batch_layers(other)] == [3, 3]
    hooked = copy.deepcopy(net)
    hooked.register_forward_hook(lambda layer, args, output: output - output.mean(0))
    assert [len(part) for part in split_at_batch_layers(net)] == [6, 0]
    assert split_at_batch_layers(hooked)[1] is hooked
    assert treats_each_sample_by_itself(net)
    assert not treats_each_sample_by_itself(hooked)
    assert not any(map(treats_each_sample_by_itself, others))


def test_the_error_of_one_that_steps_alone_is_its_own():
    game = {"local_steps": 1, "rounds": 9, "swap_every_epochs": 0, "on_lost": "continue"}
    model = with_discriminator(hook_by_lot)
    t = Table(MdGan(side_by_side="by_network", **game), model, [12] * 4, LABELLED)
    alone = [name for name, player in t.workers.items() if stack_key(player.model) is None]
    assert 0 < len(alone) < 4

    def broken(*args):
        raise ValueError("torn")

    t.net(alone[0])[3].register_forward_hook(broken)
    (row,) = t.play()
    assert list(row.lost) == alone[:1]
    assert all(flat(t.net(name).parameters()).isfinite().all() for name in t.state.players)

"""MD-GAN on one page: Algorithm 1 of the paper as plain loops over plain torch.

python examples/md_gan.py

A generator on a server learns from discriminators that never leave their data, except to swap.
The fast version is ``coplay.games.md_gan``; tests/oracles/test_pages.py holds this page against it.

References:
    MD-GAN: Multi-Discriminator Generative Adversarial Networks for Distributed Datasets
    (C. Hardy, E. Le Merrer, B. Sericola, IPDPS 2019), arXiv:1811.03850.
"""

import copy
import math

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F


class Worker:
    """A discriminator beside private images of shape (m, d), in [-1, 1]."""

    def __init__(self, images, net, adam):
        self.images, self.net, self.adam = images, net, adam

    def learn(self, real, generated):
        """One discriminator step on a real and a generated batch (B2.2)."""
        loss = F.softplus(-self.net(real)).mean() + F.softplus(self.net(generated)).mean()
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()

    def feedback(self, generated):
        """F_n: the gradient of the generator's loss B̃, summed over the batch, by pixels (B2.3)."""
        generated = generated.clone().requires_grad_()
        loss = F.softplus(-self.net(generated)).sum()
        return torch.autograd.grad(loss, generated)[0]


def global_iteration(generator, adam, workers, noise, real):
    """One global iteration: N workers, k tensors of noise of shape (b, latent), N real batches."""
    batches = [generator(z) for z in noise]  # X^(1) … X^(k), with their graph (B2.1)
    k = len(batches)
    feedback = [torch.zeros_like(batch) for batch in batches]
    for n, worker in enumerate(workers):
        worker.learn(real[n], batches[(n + 1) % k].detach())  # X^(d)
        feedback[n % k] += worker.feedback(batches[n % k].detach())  # X^(g)
    adam.zero_grad()
    for batch, total in zip(batches, feedback, strict=True):
        batch.backward(total / (len(workers) * len(batch)))  # Δw = 1/(N b) Σ_n F_n ∂x/∂w (B2.4)
    adam.step()


def swap(workers, random):
    """Every worker sends its discriminator to another; nobody ends with two or none (B2.5)."""
    order = list(range(len(workers)))
    while any(i == j for i, j in enumerate(order)):
        order = torch.randperm(len(workers), generator=random).tolist()
    nets = [copy.deepcopy(worker.net.state_dict()) for worker in workers]
    for i, j in enumerate(order):
        workers[j].net.load_state_dict(nets[i])  # Adam's state stays with the worker


def network(inputs, outputs, *last):
    return nn.Sequential(nn.Linear(inputs, 128), nn.LeakyReLU(0.2), nn.Linear(128, outputs), *last)


def main(iterations=600, latent=16, b=32):
    """Five workers hold two classes of digits each; the generator learns all ten."""
    torch.manual_seed(1)
    digits = load_digits()
    classes = torch.from_numpy(digits.target)
    images = torch.from_numpy(digits.images).float().flatten(1) / 8 - 1
    workers = []
    for n in range(5):
        net = network(64, 1)
        adam = torch.optim.Adam(net.parameters(), 1e-3, (0.5, 0.999))
        workers.append(Worker(images[classes // 2 == n], net, adam))
    generator = network(latent, 64, nn.Tanh())
    adam = torch.optim.Adam(generator.parameters(), 1e-3, (0.5, 0.999))
    k = max(1, math.ceil(math.log(len(workers))))
    epoch = len(images) // len(workers) // b  # m E / b iterations, E = 1
    for iteration in range(1, iterations + 1):
        noise = [torch.randn(b, latent) for _ in range(k)]
        real = [w.images[torch.randint(len(w.images), (b,))] for w in workers]
        global_iteration(generator, adam, workers, noise, real)
        if iteration % epoch == 0:
            swap(workers, torch.default_generator)
    nearest = torch.cdist(generator(torch.randn(1000, latent)), images).argmin(1)
    counts = torch.bincount(classes[nearest], minlength=10)
    print("of 1,000 drawn digits, by the class of the nearest real one:", counts.tolist())


if __name__ == "__main__":
    main()

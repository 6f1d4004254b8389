"""The domain classifier: a small network whose features and classes are used by scores.

It is trained on the real training split, on which its inputs are scaled, too. It needs no download,
and it never enters learning, early stopping or selection. Its own accuracy on the real test split
is part of every report.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coplay.core.scaling import Scaling, code_size
from coplay.core.space import Samples, Space, Variable
from coplay.core.streams import isolated_seed, own_draws, stream, torch_threads

_FEATURES = 64
_BATCH = 128
_SCALES = "scales/"  # prefix, in a state, of the scales of the inputs
# The fewest and the most training steps for a set of any size.
_STEPS = (1200, 4000)


class DomainClassifier:
    """A classifier of real samples, and its features.

    Images (two axes, or three with channels first) get a small convolutional network, if they are
    large enough for it; anything else gets a perceptron.

    Args:
        space: The inputs, without the class.
        classes: Number of classes.
        seed: Seed of the initial weights and of the order of training samples.
        scaling: Scales of the inputs, already fitted; None fits them on the training split.

    Example:
        >>> from coplay import Variable
        >>> space = Space({"x": Variable(kind="real", shape=(2,))})
        >>> classifier = DomainClassifier(space, classes=3, seed=1)
        >>> classifier.probabilities(space.samples(x=torch.zeros(5, 2))).shape
        torch.Size([5, 3])
    """

    def __init__(
        self, space: Space, classes: int, seed: int, scaling: Scaling | None = None
    ) -> None:
        self.space = space
        self.classes = classes
        self.scaling = scaling or Scaling(space)
        """The scales in which it, and everything that compares samples, sees them."""
        self._seed = seed
        self._own_scales = scaling is None
        with isolated_seed(seed), own_draws(seed):
            self._body = _body(space)
            self._head = nn.Linear(_FEATURES, classes)
        self.accuracy = float("nan")
        """Share of real test samples that are classified correctly; NaN before training."""
        self.confusion = torch.full((classes, classes), float("nan"), dtype=torch.float64)
        """Row c: how real test samples of class c are classified, rows sum to 1."""
        self.n_test = 0

    def fit(
        self,
        train: Samples,
        train_labels: Tensor,
        test: Samples,
        test_labels: Tensor,
        report: Callable[[int, int], None] = lambda done, of: None,
        steps: int | None = None,
    ) -> None:
        """Train on the training split, then measure accuracy and confusion on the test split.

        Args:
            train: Real training samples, n of them.
            train_labels: Classes of the training samples, shape (n,).
            test: Real test samples.
            test_labels: Classes of the test samples.
            report: Called now and then with the steps done and the number of all steps.
            steps: Training steps; None chooses by the number of samples, between 1,200 and 4,000.
        """
        if self._own_scales:
            self.scaling.follow([train], [1.0])
        self._train(self._inputs(train), train_labels, report, steps)
        self._measure(test, test_labels)

    def _train(
        self, x: Tensor, y: Tensor, report: Callable[[int, int], None], steps: int | None
    ) -> None:
        generator = stream(self._seed, "classifier order")
        if not steps:
            # about five epochs
            fewest, most = _STEPS
            steps = min(max(fewest, 5 * len(x) // _BATCH), most)
        network = nn.Sequential(self._body, self._head).train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
        # dropout draws from torch's global generator; one thread gives the same classifier on every
        # machine
        with isolated_seed(self._seed), torch_threads(1):
            for step in range(steps):
                if step % 50 == 0:
                    report(step, steps)
                picked = torch.randint(len(x), (_BATCH,), generator=generator)
                optimizer.zero_grad()
                F.cross_entropy(network(x[picked]), y[picked]).backward()
                optimizer.step()
                schedule.step()
        network.eval()
        report(steps, steps)

    def _measure(self, test: Samples, labels: Tensor) -> None:
        """Measure accuracy and confusion."""
        recognised = self.probabilities(test).argmax(1)
        self.n_test = len(labels)
        self.accuracy = (recognised == labels).double().mean().item()
        ones = torch.ones(len(recognised), dtype=torch.float64)
        counts = torch.zeros(self.classes, self.classes, dtype=torch.float64)
        counts.index_put_((labels, recognised), ones, accumulate=True)
        # a class without test samples is assumed to be recognised
        missing = counts.sum(1) == 0
        counts[missing] = torch.eye(self.classes, dtype=torch.float64)[missing]
        self.confusion = counts / counts.sum(1, keepdim=True)

    def features(self, samples: Samples) -> Tensor:
        """Return the outputs of the last hidden layer, shape (n, 64)."""
        self._body.eval()
        with torch.no_grad():
            features = [self._body(batch) for batch in self._inputs(samples).split(2000)]
        return torch.cat(features)

    def probabilities(self, samples: Samples) -> Tensor:
        """Return class probabilities of samples, shape (n, C)."""
        return self.classify(self.features(samples))

    def classify(self, features: Tensor) -> Tensor:
        """Return class probabilities for features of shape (n, 64), shape (n, C)."""
        with torch.no_grad():
            probabilities: Tensor = self._head(features).softmax(1)
        return probabilities

    def _inputs(self, samples: Samples) -> Tensor:
        """Return the network's scaled inputs: an image as it is, anything else side by side."""
        name = next(iter(self.space))
        if len(self.space) == 1 and _is_convolved(self.space[name]):
            return self.scaling.numbers(name, samples).float()
        return self.scaling.vectors(samples)

    def state_dict(self) -> dict[str, Tensor]:
        """Return weights, scales, accuracy, the number of test samples and confusion."""
        network = nn.ModuleDict({"body": self._body, "head": self._head}).state_dict()
        measured = torch.tensor([self.accuracy, self.n_test], dtype=torch.float64)
        scales = {_SCALES + name: scale for name, scale in self.scaling.state_dict().items()}
        return {**network, **scales, "measured": measured, "confusion": self.confusion}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        weights = dict(state)
        confusion = weights.pop("confusion")
        accuracy, n_test = weights.pop("measured").tolist()
        names = [name for name in weights if name.startswith(_SCALES)]
        self.scaling.load_state_dict({n.removeprefix(_SCALES): weights.pop(n) for n in names})
        nn.ModuleDict({"body": self._body, "head": self._head}).load_state_dict(weights)
        self.accuracy = accuracy
        self.n_test = int(n_test)
        self.confusion = confusion


def _stride(shape: tuple[int, ...]) -> int:
    """Return the first convolution's stride.

    Large images are halved once more, so that 28×28 costs little more than 8×8.
    """
    return 2 if shape[-1] > 16 else 1


def _is_convolved(v: Variable) -> bool:
    """Whether convolutions fit: after them, and their stride, two pixels are left on each side."""
    if v.kind == "categorical" or len(v.shape) not in (2, 3):
        return False
    return math.ceil(min(v.shape[-2:]) / _stride(v.shape)) >= 2


def _body(space: Space) -> nn.Module:
    """Build the layers from the inputs to the features."""
    first = space[next(iter(space))]
    if len(space) > 1 or not _is_convolved(first):
        size = sum(space[name].size * code_size(space[name]) for name in space)
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(size, 128),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(128, _FEATURES),
            nn.ReLU(),
        )
    shape = first.shape
    channels = shape[0] if len(shape) == 3 else 1
    layers: list[nn.Module] = []
    if len(shape) == 2:
        layers.append(nn.Unflatten(1, (1, shape[0])))
    stride = _stride(shape)
    layers += [nn.Conv2d(channels, 32, 3, stride=stride, padding=1), nn.ReLU()]
    layers += [
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.2),
        nn.Flatten(),
    ]
    with torch.no_grad():
        width = nn.Sequential(*layers).eval()(torch.zeros(1, *shape)).shape[1]
    return nn.Sequential(*layers, nn.Linear(width, _FEATURES), nn.ReLU(), nn.Dropout(0.3))

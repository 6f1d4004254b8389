"""The domain classifier: a small network trained on the real training split, whose features and classes scores use.

It needs no download, and it never enters learning, early stopping or selection. Its own accuracy on the real test split
is part of every report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coplay.core.space import Samples, Space
from coplay.core.streams import isolated_seed, stream, torch_threads

_FEATURES = 64
_BATCH = 128
# How many training steps a set of any size gets at least and at most.
_STEPS = (1200, 4000)


class DomainClassifier:
    """A classifier of real samples, and the features it sees them by.

    Images (two axes, or three with channels first) get a small convolutional network, anything else a perceptron.

    Args:
        space: The inputs, without the class.
        classes: Number of classes.
        seed: Decides start and order of training.

    Example:
        >>> from coplay import Variable
        >>> space = Space({"x": Variable(kind="real", shape=(2,))})
        >>> classifier = DomainClassifier(space, classes=3, seed=1)
        >>> classifier.probabilities(space.samples(x=torch.zeros(5, 2))).shape
        torch.Size([5, 3])
    """

    def __init__(self, space: Space, classes: int, seed: int) -> None:
        self.space, self.classes, self._seed = space, classes, seed
        with isolated_seed(seed):
            self._body, self._head = _body(space), nn.Linear(_FEATURES, classes)
        self.accuracy = float("nan")
        """Share of real test samples that are classified rightly; NaN before training."""
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
            train: Real samples, n of them.
            train_labels: Their classes, shape (n,).
            test: Other real samples.
            test_labels: Their classes.
            report: Called now and then with the steps done and the steps in all.
            steps: Training steps; None chooses by the number of samples, between 1,200 and 4,000.
        """
        x, y = self._inputs(train), train_labels
        generator = stream(self._seed, "classifier order")
        steps = steps or min(max(_STEPS[0], 5 * len(x) // _BATCH), _STEPS[1])
        network = nn.Sequential(self._body, self._head).train()
        optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
        # dropout draws from torch's global generator; one thread gives the same classifier on every machine
        with isolated_seed(self._seed), torch_threads(1):
            for step in range(steps):
                if step % 50 == 0:
                    report(step, steps)
                picked = torch.randint(len(x), (_BATCH,), generator=generator)
                optimiser.zero_grad()
                F.cross_entropy(network(x[picked]), y[picked]).backward()
                optimiser.step()
                schedule.step()
        network.eval()
        report(steps, steps)
        found = self.probabilities(test).argmax(1)
        self.n_test = len(test_labels)
        self.accuracy = (found == test_labels).double().mean().item()
        counts = torch.zeros(self.classes, self.classes, dtype=torch.float64)
        counts.index_put_(
            (test_labels, found), torch.ones(len(found), dtype=torch.float64), accumulate=True
        )
        missing = counts.sum(1) == 0  # a class without test samples is taken to be recognised
        counts[missing] = torch.eye(self.classes, dtype=torch.float64)[missing]
        self.confusion = counts / counts.sum(1, keepdim=True)

    def features(self, samples: Samples) -> Tensor:
        """What the last hidden layer sees, shape (n, 64)."""
        self._body.eval()
        with torch.no_grad():
            found: Tensor = torch.cat(
                [self._body(part) for part in self._inputs(samples).split(2000)]
            )
        return found

    def probabilities(self, samples: Samples) -> Tensor:
        """Class probabilities, shape (n, C)."""
        return self.classify(self.features(samples))

    def classify(self, features: Tensor) -> Tensor:
        """Class probabilities for features, shape (n, C)."""
        with torch.no_grad():
            found: Tensor = self._head(features).softmax(1)
        return found

    def _inputs(self, samples: Samples) -> Tensor:
        if len(self.space) == 1:
            return samples[next(iter(self.space))].float()
        return self.space.flatten(samples)

    def state_dict(self) -> dict[str, Tensor]:
        """Weights, accuracy and confusion."""
        network = nn.ModuleDict({"body": self._body, "head": self._head}).state_dict()
        measured = torch.tensor([self.accuracy, self.n_test], dtype=torch.float64)
        return {**network, "measured": measured, "confusion": self.confusion}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take a state back."""
        weights = {
            name: tensor for name, tensor in state.items() if name not in ("measured", "confusion")
        }
        nn.ModuleDict({"body": self._body, "head": self._head}).load_state_dict(weights)
        self.accuracy, self.n_test = state["measured"][0].item(), int(state["measured"][1])
        self.confusion = state["confusion"]


def _body(space: Space) -> nn.Module:
    shape = space[next(iter(space))].shape
    if len(space) > 1 or len(shape) not in (2, 3):
        size = sum(space[name].size for name in space)
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(size, 128),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(128, _FEATURES),
            nn.ReLU(),
        )
    channels = shape[0] if len(shape) == 3 else 1
    large = shape[-1] > 16  # halve once more, so that 28×28 costs little more than 8×8
    layers: list[nn.Module] = [nn.Unflatten(1, (1, shape[0]))] if len(shape) == 2 else []
    layers += [nn.Conv2d(channels, 32, 3, stride=2 if large else 1, padding=1), nn.ReLU()]
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

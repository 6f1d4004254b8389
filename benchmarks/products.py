"""Matrix products of linear layers: MKL against oneDNN.

python benchmarks/products.py             # a minute; writes benchmarks/results/products.json

torch takes MKL; coplay's networks take what is faster for the maker of the processor
(coplay.core.processor). Here both are measured wherever torch has both, whatever is taken.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import common
import torch
from torch import Tensor
from torch.nn import functional as F

import coplay.nets.products as module
from coplay.core.processor import matrix_products, onednn, this_processor

TURNS = 7
SECONDS = 0.05
SHAPES = (
    (10, 784, 512),
    (20, 784, 512),
    (20, 512, 512),
    (200, 784, 512),
    (200, 512, 512),
    (300, 512, 784),
)
"""Rows, inputs and outputs; those of the MLP pair with b = 10 and 100."""


def seconds(call: Callable[[], Tensor]) -> float:
    """Return the seconds of one call, as the mean over as many as fill a moment."""
    calls = 0
    begin = time.perf_counter()
    while (passed := time.perf_counter() - begin) < SECONDS:
        call()
        calls += 1
    return passed / calls


def by_onednn(x: Tensor, weight: Tensor) -> Tensor:
    """Multiply as coplay's layers do where they take oneDNN."""
    return module._by_onednn(x, weight)


def main() -> None:
    assert onednn() is not None, "this torch has no oneDNN"
    print(f"{this_processor().title}; coplay takes {matrix_products()}")
    rows = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for n, inputs, outputs in SHAPES:
            x = torch.rand(n, inputs)
            weight = torch.rand(outputs, inputs)
            gradient = torch.rand(n, outputs)
            for name, (a, b) in {
                "forward": (x, weight),
                "by the input": (gradient, weight.t()),
                "by the weight": (gradient.t(), x.t()),
            }.items():
                calls = {
                    "mkl": lambda a=a, b=b: F.linear(a, b),
                    "onednn": lambda a=a, b=b: by_onednn(a, b),
                }
                spent: dict[str, list[float]] = {library: [] for library in calls}
                for _ in range(TURNS):
                    for library, call in calls.items():
                        spent[library].append(seconds(call))
                rates = {
                    library: 2 * n * inputs * outputs / statistics.median(times)
                    for library, times in spent.items()
                }
                ratio = statistics.median(
                    m / o for m, o in zip(spent["mkl"], spent["onednn"], strict=True)
                )
                noun = "threads" if threads > 1 else "thread"
                label = f"{n} × {inputs} → {outputs}, {name}, {threads} {noun}"
                rows[label] = {"flops_per_second": rates, "onednn_faster": ratio}
                texts = [f"{library} {rate / 1e9:.0f}" for library, rate in rates.items()]
                print(
                    f"{label}: {', '.join(texts)} GFLOP/s, {ratio:.2f} times, "
                    f"{this_processor().title}",
                    flush=True,
                )
    common.save(
        "products",
        {
            "taken": matrix_products(),
            "turns": TURNS,
            "from_multiplications": module._WORTH,
            "products": rows,
        },
    )


if __name__ == "__main__":
    main()

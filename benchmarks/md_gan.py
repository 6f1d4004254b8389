"""MD-GAN: time of one global iteration against a straightforward loop, growth with N, memory.

python benchmarks/md_gan.py               # writes benchmarks/results/md_gan.json
python benchmarks/md_gan.py --quick       # the ratios for the MLP pair alone, nothing written
COPLAY_PRODUCTS=torch python benchmarks/md_gan.py --quick    # by torch's own library

The straightforward loop is what one writes first: one worker after the other, autograd per worker,
torch's default Adam (not fused), linear layers and allocator. Variants alternate; each has a
process of its own, and only one computes at a time.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product

import common
import torch
from torch import nn
from torch.nn import functional as F

from coplay import Player, Space, Variable
from coplay.core.memory import keep_freed_memory
from coplay.core.processor import matrix_products
from coplay.core.streams import stream
from coplay.engines.local import Local
from coplay.games.fl_gan import FlGan
from coplay.games.gan_common import SERVER
from coplay.games.md_gan import MdGan
from coplay.models.acgan import Acgan
from coplay.models.base import OWN, Mixture, Portion
from coplay.nets.gan_pairs import DISCRIMINATORS, GENERATORS
from coplay.nets.products import Linear
from coplay.nets.products import product as matrix_product

TURNS = 6
THREADS = 2
CLASSES = 10
SPACE = Space(
    {
        "image": Variable(kind="real", shape=(28, 28), low=0, high=1),
        "class": Variable(kind="categorical", classes=CLASSES),
    }
)
CASES = {
    "mlp, b = 10": ("mlp", 10, 10, 10),
    "mlp, b = 100": ("mlp", 10, 100, 5),
    "cnn, b = 10": ("cnn", 10, 10, 2),
}
"""Network, N, b, iterations a turn."""
ROLES = ("md_gan worker", "fl_gan worker", "md_gan server", "fl_gan server")


def images(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = stream(1, "images")
    pixels = torch.rand(n, 28, 28, generator=generator)
    classes = torch.randint(CLASSES, (n,), generator=generator)
    return pixels, classes


def plain(net: nn.Module) -> nn.Module:
    """Return the same network with torch's own layers."""
    for layer in net.modules():
        if isinstance(layer, Linear):
            layer.__class__ = nn.Linear
    return net


def straightforward(network: str, workers: int, b: int) -> Callable[[int], None]:
    """Build the loop that one writes first.

    It has k = max(1, ⌈ln N⌉), L = 1, class terms and the non-saturating loss.
    """
    g = plain(GENERATORS[network](100, CLASSES, (28, 28), "shift"))
    ds = [plain(DISCRIMINATORS[network](CLASSES, (28, 28))) for _ in range(workers)]
    adam_g = torch.optim.Adam(g.parameters(), lr=2e-4, betas=(0.5, 0.999))
    adams = [torch.optim.Adam(d.parameters(), lr=2e-4, betas=(0.5, 0.999)) for d in ds]
    x, y = images(1000)
    k = max(1, math.ceil(math.log(workers)))

    def iterate(count: int) -> None:
        for _ in range(count):
            made = []
            for _ in range(k):
                c = torch.randint(CLASSES, (b,))
                made.append((g(torch.randn(b, 100), c), c))
            feedback: list[list[torch.Tensor]] = [[] for _ in range(k)]
            for n, (d, adam) in enumerate(zip(ds, adams, strict=True)):
                pick = torch.randint(len(x), (b,))
                fake, c = made[(n + 1) % k]
                real_logits = d(2 * x[pick] - 1)
                fake_logits = d(fake.detach())
                loss = F.softplus(-real_logits[:, 0]).mean() + F.softplus(fake_logits[:, 0]).mean()
                loss = (
                    loss
                    + F.cross_entropy(real_logits[:, 1:], y[pick])
                    + F.cross_entropy(fake_logits[:, 1:], c)
                )
                adam.zero_grad()
                loss.backward()
                adam.step()
                shown, c = made[n % k]
                shown = shown.detach().requires_grad_()
                logits = d(shown)
                loss = F.softplus(-logits[:, 0]).sum() + F.cross_entropy(
                    logits[:, 1:], c, reduction="sum"
                )
                feedback[n % k].append(torch.autograd.grad(loss, shown)[0])
            adam_g.zero_grad()
            for (batch, _), gradients in zip(made, feedback, strict=True):
                batch.backward(torch.stack(gradients).sum(0) / (workers * b))
            adam_g.step()

    return iterate


def coplays(network: str, workers: int, b: int) -> Callable[[int], None]:
    """Build the same from coplay's game on its local engine, with messages, checks and ledger."""
    keep_freed_memory()
    x, y = images(1000)
    model = Acgan(network=network, batch=b)
    data = SPACE.samples(**{"image": x, "class": y})
    players = [Player(f"p{i:03}", SPACE, data, model.fresh(), 1) for i in range(workers)]
    players.append(Player(SERVER, SPACE, SPACE.empty(), model.fresh(), 1))
    played = {"round": 0, "state": None, "count": 0}
    engine = Local(threads=THREADS)

    def iterate(count: int) -> None:
        game = MdGan(local_steps=count, rounds=10**6, swap_every_epochs=0)
        if played["count"] != count:  # players play by the rules that their engine started with
            engine.start(players, game)
            played["count"] = count
        if played["state"] is None:
            played["state"] = game.start([player.name for player in players[:-1]], 1)
        played["round"] += 1
        played["state"], _ = game.play(engine, played["state"], played["round"])

    return iterate


def role(kind: str, network: str, b: int) -> None:
    """Print the peak memory of one role alone at N = 10, in bytes above that of the imports."""
    x, y = images(b)
    common.peak_bytes()
    before = common.peak_bytes()
    model = Acgan(network=network, batch=b, average=0.0)
    model.setup(SPACE, 1)
    if kind == "md_gan worker":
        for _ in range(5):
            model.learn_to_judge(x, y, x, y)
            model.feedback(x, y)
    elif kind == "md_gan server":
        for step in range(5):
            made = [model.generate(b, stream(1, step, j))[0] for j in range(3)]
            model.follow(made, [torch.zeros_like(images) for images in made])
    elif kind == "fl_gan server":
        pairs = [model.export(("generator", "discriminator")) for _ in range(10)]
        model.average_of(pairs, torch.full((10,), 0.1, dtype=torch.float64))
    else:
        samples = SPACE.samples(**{"image": x, "class": y})
        model.learn(Mixture((Portion(OWN, samples, 1.0),)), 5, stream(1))
    print(common.peak_bytes() - before)


def worker(kind: str, network: str, workers: int, b: int) -> None:
    """Answer every line with the seconds of one iteration."""
    torch.set_num_threads(THREADS)
    build = straightforward if kind == "straightforward" else coplays
    iterate = build(network, workers, b)
    iterate(2)
    for line in sys.stdin:
        begin = time.perf_counter()
        iterate(int(line))
        print((time.perf_counter() - begin) / int(line), flush=True)


def started(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--worker", *map(str, words)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def time_iterations(process: subprocess.Popen[str], iterations: int) -> float:
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{iterations}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def paired(network: str, workers: int, b: int, iterations: int) -> dict[str, object]:
    processes = {kind: started(kind, network, workers, b) for kind in ("straightforward", "coplay")}
    seconds: dict[str, list[float]] = {kind: [] for kind in processes}
    for turn, (kind, process) in product(range(TURNS), processes.items()):
        value = time_iterations(process, iterations)
        if turn:  # the first warms up
            seconds[kind].append(value)
    for process in processes.values():
        process.stdin.close()  # type: ignore[union-attr]
        process.wait()
    ratios = [c / s for c, s in zip(seconds["coplay"], seconds["straightforward"], strict=True)]
    return {
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        **{f"{kind}_seconds": statistics.median(values) for kind, values in seconds.items()},
    }


def growth(b: int) -> dict[str, object]:
    """Measure seconds over N for the MLP pair, and fit a power law to them from N = 10 on."""
    seconds = {}
    for n in (1, 2, 5, 10, 20, 50, 100, 200):
        process = started("coplay", "mlp", n, b)
        iterations = max(2, 40 // n)
        time_iterations(process, iterations)
        seconds[n] = statistics.median(time_iterations(process, iterations) for _ in range(3))
        process.stdin.close()  # type: ignore[union-attr]
        process.wait()
        print(f"N = {n:3}: {1000 * seconds[n]:7.1f} ms, {matrix_products()}", flush=True)
    logs = [(math.log(n), math.log(s)) for n, s in seconds.items() if n >= 10]
    mean_x, mean_y = (statistics.fmean(column) for column in zip(*logs, strict=True))
    covariance = sum((x - mean_x) * (y - mean_y) for x, y in logs)
    variance = sum((x - mean_x) ** 2 for x, _ in logs)
    return {"seconds": seconds, "exponent": covariance / variance}


def gemm_rate() -> float:
    """Measure operations a second of a large matrix product here, by the faster library."""
    torch.set_num_threads(THREADS)
    a = torch.rand(1024, 1024)
    rates = []
    for multiply in (torch.matmul, matrix_product):
        multiply(a, a)
        begin = time.perf_counter()
        for _ in range(10):
            multiply(a, a)
        rates.append(10 * 2 * 1024**3 / (time.perf_counter() - begin))
    return max(rates)


def flops(network: str, b: int) -> dict[str, float]:
    """Count operations per update of the generator.

    They are those of an MD-GAN worker, of its server at N = 10, and of an FL-GAN worker.
    """
    counts = {}
    for name, game in (("md_gan", MdGan(local_steps=1)), ("fl_gan", FlGan(local_steps=1))):
        x, y = images(b)
        samples = SPACE.samples(**{"image": x, "class": y})
        players = []
        for i in range(10):
            model = Acgan(network=network, batch=b)
            players.append(Player(f"p{i}", SPACE, samples, model, 1))
        players.append(Player(SERVER, SPACE, SPACE.empty(), Acgan(network=network, batch=b), 1))
        engine = Local(threads=THREADS)
        engine.start(players, game)
        _, row = game.play(engine, game.start([p.name for p in players[:-1]], 1), 1)
        engine.close()
        counts[f"{name} worker"] = row.players["p0"]["flops"]
        if name == "md_gan":
            counts["md_gan server"] = row.players[SERVER]["flops"]
    ratio = counts["md_gan worker"] / counts["fl_gan worker"]
    return counts | {"worker, md_gan / fl_gan": ratio}


def gemm_share(work: dict[str, float], seconds: float, rate: float) -> float:
    """Return the rate of an iteration's operations as a share of a matrix product's."""
    operations = 10 * work["md_gan worker"] + work["md_gan server"]
    return operations / seconds / rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    cases = {}
    for label, case in CASES.items():
        if given.quick and not label.startswith("mlp"):
            continue
        cases[label] = paired(*case)
        coplay_ms = 1000 * cases[label]["coplay_seconds"]
        loop_ms = 1000 * cases[label]["straightforward_seconds"]
        print(
            f"{label:14} {cases[label]['ratio']:.2f} x  ({coplay_ms:.1f} ms "
            f"against {loop_ms:.1f} ms), {matrix_products()}",
            flush=True,
        )
    if given.quick:
        return
    work = {
        f"{network}, b = {b}": flops(network, b)
        for network, b in (("mlp", 10), ("mlp", 100), ("cnn", 10))
    }
    rate = gemm_rate()
    over_n = growth(10)
    shares = {}
    for case, operations in work.items():
        shares[case] = gemm_share(operations, cases[case]["coplay_seconds"], rate)
    memory = {}
    for kind, network in product(ROLES, ("mlp", "cnn")):
        done = subprocess.run(
            [sys.executable, __file__, "--memory", kind, network, "10"],
            capture_output=True,
            text=True,
            check=True,
        )
        memory[f"{kind}, {network}"] = int(done.stdout)
    ratios = {case: round(v["worker, md_gan / fl_gan"], 3) for case, v in work.items()}
    print(f"worker's operations, MD-GAN / FL-GAN: {ratios}")
    gemm = ", ".join(f"{share:.2f} ({case})" for case, share in shares.items())
    print(
        f"exponent of N: {over_n['exponent']:.3f}; share of the GEMM rate: {gemm}; "
        f"{matrix_products()}"
    )
    mebibytes = {kind: round(peak / 2**20, 1) for kind, peak in memory.items()}
    print(f"peak memory, MiB: {mebibytes}")
    common.save(
        "md_gan",
        {
            "matrix_products": matrix_products(),
            "threads": THREADS,
            "workers": 10,
            "turns": TURNS - 1,
            "iteration": cases,
            "over_workers": over_n,
            "gemm_flops_per_second": rate,
            "share_of_gemm_rate": shares,
            "flops_per_generator_update": work,
            "peak_bytes": memory,
        },
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    elif sys.argv[1:2] == ["--memory"]:
        role(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()

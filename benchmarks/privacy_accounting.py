"""What coplay says that steps spend, beside what Google's dp-accounting says.

dp-accounting has an environment of its own, for what it needs differs from what coplay needs:

    python -m venv ENV && ENV/bin/pip install dp-accounting
    python benchmarks/privacy_accounting.py --python ENV/bin/python

Its privacy loss distributions are upper bounds for adding and for removing a unit, whichever is
more. So coplay's ε may lie above theirs, and below them by no more than their grid.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from coplay.site.accounting import Charge, spent_epsilon

CASES = [
    (3.7306, 1.0, 1, 1e-5),
    (20.0, 1.0, 30, 1e-5),
    (1.0, 0.01, 1000, 1e-5),
    (0.8, 0.02, 500, 1e-5),
    (1.1, 0.05, 300, 1e-6),
    (2.0, 0.05, 2000, 1e-6),
    (4.0, 0.2, 500, 1e-6),
    (0.6, 0.005, 2000, 1e-5),
]
"""Noise, rate, steps and δ."""

THEIRS = """
import json, sys
import dp_accounting
from dp_accounting import dp_event, pld, rdp
result = []
for noise, rate, steps, delta in json.load(sys.stdin):
    event = dp_event.GaussianDpEvent(noise)
    if rate < 1:
        event = dp_event.PoissonSampledDpEvent(rate, event)
    row = []
    for accountant in (
        pld.PLDAccountant(dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE),
        rdp.RdpAccountant(),
    ):
        accountant.compose(event, steps)
        row.append(accountant.get_epsilon(delta))
    result.append(row)
print(json.dumps(result))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", type=Path, required=True, help="an interpreter that has it")
    given = parser.parse_args()
    process = subprocess.run(
        [given.python, "-c", THEIRS],
        input=json.dumps(CASES),
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(process.stdout)
    print("noise   rate   steps  delta   | ours: prv    rdp    | theirs: pld    rdp")
    worst = 0.0
    for (noise, rate, steps, delta), (pld, rdp) in zip(CASES, theirs, strict=True):
        charge = Charge("", noise=noise, rate=rate, steps=steps)
        ours = [spent_epsilon([charge], delta, kind) for kind in ("prv", "rdp")]
        print(
            f"{noise:<7g} {rate:<6g} {steps:<6d} {delta:<7g} |     {ours[0]:7.4f} {ours[1]:7.4f} |"
            f"       {pld:7.4f} {rdp:7.4f}"
        )
        worst = max(worst, pld - min(ours))
    print(f"ours are below theirs by at most {worst:.4f}")
    if worst > 0.005:
        sys.exit("coplay says that less was spent")


if __name__ == "__main__":
    main()

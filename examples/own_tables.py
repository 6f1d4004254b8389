"""Three clinics with a CSV file each: direct play, then synthetic patients of one diagnosis.

python examples/own_tables.py north.csv south.csv east.csv --target diagnosis
python examples/own_tables.py                # with three files that it makes up
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import coplay


def made_up(folder: Path) -> list[Path]:
    """Write three tables; the clinics see different patients, and east measures no dose."""
    files = []
    for i, (name, healthy) in enumerate([("north", 0.9), ("south", 0.2), ("east", 0.5)]):
        generator = np.random.default_rng(i)
        age = generator.normal(55, 12, 200).round().clip(18, 95).astype(int)
        ill = generator.random(200) > healthy
        dose = (0.1 * age + 3 * ill + generator.normal(0, 0.5, 200)).round(2)
        table = pd.DataFrame({"age": age, "dose": dose, "diagnosis": np.where(ill, "ill", "well")})
        files.append(folder / f"{name}.csv")
        table.drop(columns=["dose"] if name == "east" else []).to_csv(files[-1], index=False)
    return files


def main() -> None:
    """Play between the files, and say what playing brought."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--target", default="diagnosis")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    files = given.files or made_up(folder)
    result = coplay.play(
        {file.stem: pd.read_csv(file) for file in files},
        game="direct_exchange",
        target=given.target,
        rounds=4,
        folder=folder / "run",
        compare=["isolated"],
    )
    for game, play in result.plays.items():
        for player, values in play.last.items():
            if "utility" in values:
                print(f"{game}, {player}: what samples teach, {values['utility'].value:.2f}")
    for file in files:
        synthetic = result.sample(file.stem, 500)
        synthetic.to_csv(folder / f"{file.stem}-synthetic.csv", index=False)
    print(f"the report is {result.folder / 'report.html'}, the samples are beside the run")


if __name__ == "__main__":
    main()

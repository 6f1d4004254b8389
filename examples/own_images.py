"""MD-GAN on your own images: one generator, a discriminator at each worker, pictures that stay.

python examples/own_images.py FOLDER --workers 3 --updates 2000    # one sub-folder for each class
python examples/own_images.py                                      # with pictures that it draws
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import coplay


def drawn(folder: Path) -> Path:
    """Write sixty pictures of bars in two classes."""
    generator = np.random.default_rng(1)
    for name in ("standing", "lying"):
        (folder / name).mkdir(parents=True)
        for i in range(60):
            picture = np.zeros((16, 16), np.uint8)
            picture[:, generator.integers(2, 13) :][:, :2] = 255
            picture = picture if name == "standing" else picture.T
            Image.fromarray(picture).save(folder / name / f"{i}.png")
    return folder


def main() -> None:
    """Play MD-GAN; the report shows what the generator draws beside real pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--updates", type=int, default=40)
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp())
    pictures = given.folder or drawn(home / "pictures")
    source = {"name": "image_folder", "folder": str(pictures), "size": [16, 16], "grey": True}
    config = coplay.Config.from_dict(
        {
            "players": given.workers,
            "data": {"source": source, "variables": ["image", "class"]},
            "model": {"name": "acgan", "batch": 10},
            "measure": {"preset": "none"},  # "images" trains a classifier first, and scores by it
            "game": {"name": "md_gan", "rounds": 4, "local_steps": max(given.updates // 4, 1)},
        }
    )
    result = coplay.Federation(config).run(home / "run")
    print(f"{result.main.rows[-1].round} rounds; the report is {result.folder / 'report.html'}")


if __name__ == "__main__":
    main()

"""A rectified flow by a network of your own: the U-Net of diffusers, given the class.

Two sites with unlike digits play with it. Without diffusers (``pip install diffusers``) the example
says so and plays with coplay's own network.

python examples/own_flow_network.py
"""

import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

import coplay


class UNet(nn.Module):
    """Maps noisy images, times and classes to velocities; ``network = "own_flow_network:UNet"``.

    Args:
        shape: Channels, height and width of an image.
        conditions: The number of levels of each category beside the image; one more of each stands
            for "unknown".
    """

    def __init__(self, shape: Sequence[int], conditions: Sequence[int]) -> None:
        super().__init__()
        from diffusers import UNet2DModel

        channels, *side = shape
        self.sizes = [levels + 1 for levels in conditions]
        combinations = 1
        for size in self.sizes:
            combinations *= size
        self.net = UNet2DModel(
            sample_size=max(side),
            in_channels=channels,
            out_channels=channels,
            layers_per_block=1,
            block_out_channels=(16, 32),
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            norm_num_groups=8,
            num_class_embeds=combinations,
        )

    def forward(self, x: Tensor, t: Tensor, levels: Tensor) -> Tensor:
        """Return velocities of the shape of ``x``; t is in [0, 1], diffusers counts to 1,000."""
        combined = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        for i, size in enumerate(self.sizes):
            combined = combined * size + levels[:, i]
        velocity: Tensor = self.net(x, 1000 * t, combined).sample
        return velocity


def main() -> None:
    """Let two sites play, and print how sharply each draws."""
    network = f', network = "{Path(__file__).stem}:UNet"'
    if importlib.util.find_spec("diffusers") is None:
        print("diffusers is not installed; the network is coplay's own")
        network = ""
    config = coplay.Config.from_toml(f"""
        data.source = {{ name = "digits" }}
        data.variables = ["image", "class"]
        data.partition = {{ name = "by_class", classes = {{ low = [0, 1, 2], high = [3, 4] }} }}
        model = {{ name = "rectified_flow"{network} }}
        players = {{ low = {{}}, high = {{}} }}
        measure = {{ metrics = ["fid"], every_rounds = 2, samples = 200 }}
        [game]
        name = "sample_exchange"
        rounds = 2
        local_steps = 20
        samples_per_round = 100
    """)
    with tempfile.TemporaryDirectory() as folder:
        result = coplay.Federation(config).run(Path(folder) / "run")
        for player, measured in result.main.last.items():
            print(f"{player}: Fréchet distance {measured['fid'].value:.0f}")


if __name__ == "__main__":
    main()

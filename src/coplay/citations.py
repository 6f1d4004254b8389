"""BibTeX of what coplay implements, by key; components name the keys in ``citation``."""

from __future__ import annotations

from coplay.config import Config

ENTRIES = {
    "schlesinger2025game": """@inproceedings{schlesinger2025game,
  title     = {Game-theoretic distributed learning of generative models for heterogeneous data collections},
  author    = {Schlesinger, Dmitrij and Flach, Boris},
  booktitle = {FLICS},
  year      = {2025},
  note      = {arXiv:2511.01740}
}""",
    "flach2024symmetric": """@inproceedings{flach2024symmetric,
  title     = {Symmetric Equilibrium Learning of {VAE}s},
  author    = {Flach, Boris and Schlesinger, Dmitrij and Shekhovtsov, Alexander},
  booktitle = {International Conference on Artificial Intelligence and Statistics (AISTATS)},
  year      = {2024},
  note      = {arXiv:2307.09883}
}""",
    "heusel2017fid": """@inproceedings{heusel2017fid,
  title     = {{GAN}s Trained by a Two Time-Scale Update Rule Converge to a Local {N}ash Equilibrium},
  author    = {Heusel, Martin and Ramsauer, Hubert and Unterthiner, Thomas and Nessler, Bernhard and Hochreiter, Sepp},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2017},
  note      = {arXiv:1706.08500}
}""",
    "salimans2016improved": """@inproceedings{salimans2016improved,
  title     = {Improved Techniques for Training {GAN}s},
  author    = {Salimans, Tim and Goodfellow, Ian and Zaremba, Wojciech and Cheung, Vicki and Radford, Alec and Chen, Xi},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2016},
  note      = {arXiv:1606.03498}
}""",
}


def cite(config: Config) -> str:
    """BibTeX for exactly the methods that a config uses.

    Example:
        >>> print(cite(Config.from_dict({"measure": {"metrics": []}, "model": "exponential_family"})).split(",")[0])
        @inproceedings{schlesinger2025game
    """
    used = [config.game, *config.measure.metrics, *(config.player_model(name) for name in config.player_names)]
    keys = dict.fromkeys(key for component in used for key in component.citation)
    return "\n\n".join(ENTRIES[key] for key in keys)

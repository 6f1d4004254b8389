"""BibTeX of what coplay implements, by key; components name the keys in ``citation``."""

from __future__ import annotations

from coplay.run.config import Config

ENTRIES = {
    "schlesinger2025game": """@inproceedings{schlesinger2025game,
  title     = {Game-theoretic distributed learning of generative models
               for heterogeneous data collections},
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
    "schlesinger2026deep": """@misc{schlesinger2026deep,
  title  = {Deep Multivariate Models with Parametric Conditionals},
  author = {Schlesinger, Dmitrij and Flach, Boris and Shekhovtsov, Alexander},
  year   = {2026},
  note   = {arXiv:2602.01953}
}""",
    "heusel2017fid": """@inproceedings{heusel2017fid,
  title     = {{GAN}s Trained by a Two Time-Scale Update Rule
               Converge to a Local {N}ash Equilibrium},
  author    = {Heusel, Martin and Ramsauer, Hubert and Unterthiner, Thomas and Nessler, Bernhard
               and Hochreiter, Sepp},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2017},
  note      = {arXiv:1706.08500}
}""",
    "hardy2019mdgan": """@inproceedings{hardy2019mdgan,
  title = {{MD-GAN}: Multi-Discriminator Generative Adversarial Networks for Distributed Datasets},
  author = {Hardy, Corentin and Le Merrer, Erwan and Sericola, Bruno},
  booktitle = {IEEE International Parallel and Distributed Processing Symposium},
  year = {2019},
  eprint = {1811.03850},
  archiveprefix = {arXiv},
}""",
    "mcmahan2017communication": """@inproceedings{mcmahan2017communication,
  title = {Communication-Efficient Learning of Deep Networks from Decentralized Data},
  author = {McMahan, H. Brendan and Moore, Eider and Ramage, Daniel and Hampson, Seth
            and Ag{\\"u}era y Arcas, Blaise},
  booktitle = {Artificial Intelligence and Statistics},
  year = {2017},
  eprint = {1602.05629},
  archiveprefix = {arXiv},
}""",
    "odena2017acgan": """@inproceedings{odena2017acgan,
  title = {Conditional Image Synthesis with Auxiliary Classifier {GANs}},
  author = {Odena, Augustus and Olah, Christopher and Shlens, Jonathon},
  booktitle = {International Conference on Machine Learning},
  year = {2017},
  eprint = {1610.09585},
  archiveprefix = {arXiv},
}""",
    "balle2018gaussian": """@inproceedings{balle2018gaussian,
  title     = {Improving the {G}aussian Mechanism for Differential Privacy: Analytical Calibration
               and Optimal Denoising},
  author    = {Balle, Borja and Wang, Yu-Xiang},
  booktitle = {International Conference on Machine Learning (ICML)},
  year      = {2018},
  note      = {arXiv:1805.06530}
}""",
    "abadi2016deep": """@inproceedings{abadi2016deep,
  title     = {Deep Learning with Differential Privacy},
  author    = {Abadi, Mart{\'\\i}n and Chu, Andy and Goodfellow, Ian and McMahan, H. Brendan and
               Mironov, Ilya and Talwar, Kunal and Zhang, Li},
  booktitle = {ACM Conference on Computer and Communications Security (CCS)},
  year      = {2016},
  note      = {arXiv:1607.00133}
}""",
    "tiwald2025tabularargn": """@misc{tiwald2025tabularargn,
  title = {{TabularARGN}: A Flexible and Efficient Auto-Regressive Framework for Generating
           High-Fidelity Synthetic Data},
  author = {Tiwald, Paul and Krchova, Ivona and Sidorenko, Andrey and Vargas Vieyra, Mariana
            and Scriminaci, Mario and Platzer, Michael},
  year = {2025},
  eprint = {2501.12012},
  archiveprefix = {arXiv},
}""",
    "hoogeboom2022ardm": """@inproceedings{hoogeboom2022ardm,
  title = {Autoregressive Diffusion Models},
  author = {Hoogeboom, Emiel and Gritsenko, Alexey A. and Bastings, Jasmijn and Poole, Ben
            and van den Berg, Rianne and Salimans, Tim},
  booktitle = {International Conference on Learning Representations},
  year = {2022},
  eprint = {2110.02037},
  archiveprefix = {arXiv},
}""",
    "durkan2019nsf": """@inproceedings{durkan2019nsf,
  title = {Neural Spline Flows},
  author = {Durkan, Conor and Bekasov, Artur and Murray, Iain and Papamakarios, George},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2019},
  eprint = {1906.04032},
  archiveprefix = {arXiv},
}""",
    "rozet2022zuko": """@software{rozet2022zuko,
  title = {Zuko: Normalizing flows in {PyTorch}},
  author = {Rozet, Fran{\\c{c}}ois and others},
  year = {2022},
  url = {https://github.com/probabilists/zuko},
}""",
    "patki2016sdv": """@inproceedings{patki2016sdv,
  title = {The Synthetic Data Vault},
  author = {Patki, Neha and Wedge, Roy and Veeramachaneni, Kalyan},
  booktitle = {IEEE International Conference on Data Science and Advanced Analytics},
  pages = {399--410},
  year = {2016},
}""",
    "schaefer2005shrinkage": """@article{schaefer2005shrinkage,
  title = {A Shrinkage Approach to Large-Scale Covariance Matrix Estimation and Implications for
           Functional Genomics},
  author = {Sch{\\"a}fer, Juliane and Strimmer, Korbinian},
  journal = {Statistical Applications in Genetics and Molecular Biology},
  volume = {4},
  number = {1},
  year = {2005},
}""",
    "liu2023flow": """@inproceedings{liu2023flow,
  title     = {Flow Straight and Fast: Learning to Generate and Transfer Data
               with Rectified Flow},
  author    = {Liu, Xingchao and Gong, Chengyue and Liu, Qiang},
  booktitle = {International Conference on Learning Representations},
  year      = {2023},
  note      = {arXiv:2209.03003}
}""",
    "salimans2016improved": """@inproceedings{salimans2016improved,
  title     = {Improved Techniques for Training {GAN}s},
  author    = {Salimans, Tim and Goodfellow, Ian and Zaremba, Wojciech and Cheung, Vicki
               and Radford, Alec and Chen, Xi},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2016},
  note      = {arXiv:1606.03498}
}""",
    "binkowski2018kid": """@inproceedings{binkowski2018kid,
  title     = {Demystifying {MMD} {GAN}s},
  author    = {Bi{\\'n}kowski, Miko{\\l}aj and Sutherland, Danica J. and Arbel, Michael
               and Gretton, Arthur},
  booktitle = {International Conference on Learning Representations},
  year      = {2018},
  note      = {arXiv:1801.01401}
}""",
    "kynkaanniemi2019precision": """@inproceedings{kynkaanniemi2019precision,
  title     = {Improved Precision and Recall Metric for Assessing Generative Models},
  author    = {Kynk{\\"a}{\\"a}nniemi, Tuomas and Karras, Tero and Laine, Samuli
               and Lehtinen, Jaakko and Aila, Timo},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2019},
  note      = {arXiv:1904.06991}
}""",
    "ravuri2019classification": """@inproceedings{ravuri2019classification,
  title     = {Classification Accuracy Score for Conditional Generative Models},
  author    = {Ravuri, Suman and Vinyals, Oriol},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2019},
  note      = {arXiv:1905.10887}
}""",
    "esteban2017rcgan": """@misc{esteban2017rcgan,
  title     = {Real-valued (Medical) Time Series Generation with Recurrent Conditional {GAN}s},
  author    = {Esteban, Crist{\\'o}bal and Hyland, Stephanie L. and R{\\"a}tsch, Gunnar},
  year      = {2017},
  note      = {arXiv:1706.02633}
}""",
    "metz2017unrolled": """@inproceedings{metz2017unrolled,
  title     = {Unrolled Generative Adversarial Networks},
  author    = {Metz, Luke and Poole, Ben and Pfau, David and Sohl-Dickstein, Jascha},
  booktitle = {International Conference on Learning Representations},
  year      = {2017},
  note      = {arXiv:1611.02163}
}""",
    "meehan2020copying": """@inproceedings{meehan2020copying,
  title     = {A Non-Parametric Test to Detect Data-Copying in Generative Models},
  author    = {Meehan, Casey and Chaudhuri, Kamalika and Dasgupta, Sanjoy},
  booktitle = {International Conference on Artificial Intelligence and Statistics (AISTATS)},
  year      = {2020},
  note      = {arXiv:2004.05675}
}""",
}


def cite(config: Config) -> str:
    """BibTeX for exactly the methods that a config uses.

    Example:
        >>> config = {"measure": {"metrics": []}, "model": "exponential_family"}
        >>> print(cite(Config.from_dict(config)).split(",")[0])
        @inproceedings{schlesinger2025game
    """
    models = [config.player_model(name) for name in config.player_names]
    used = [config.game, *config.carried, *(config.measure.metrics or ()), *models]
    keys = dict.fromkeys(key for component in used for key in component.citation)
    return "\n\n".join(ENTRIES[key] for key in keys)

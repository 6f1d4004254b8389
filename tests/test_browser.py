"""Every kind of page in a real browser, narrow, wide and printed: whole, quiet and complete."""

import numpy as np
import pytest
import torch

from coplay.comparison.arms import Comparison
from coplay.comparison.page import write as write_comparison
from coplay.core.message import LinkTraffic
from coplay.metrics.base import Value
from coplay.report.page import write
from coplay.report.site_page import write_pages
from coplay.run.config import Config
from coplay.run.federation import Federation
from coplay.run.result import Result
from coplay.run.round_record import RoundRecord

from .browser import CHROMIUM, PROGRAMS, VIEWS, views_of
from .by_hand import write_checkpoint, write_rows, write_run

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason=f"no browser here: none of {', '.join(PROGRAMS)} is installed"
)

LONG = "a-hospital-whose-name-has-no-space-and-is-longer-than-a-narrow-page"
GAMES = ("sample_exchange", "direct_exchange", "ensemble", "isolated", "pooled")
QUANTITIES = ("fid", "precision", "a_quantity_that_nobody_explains")


def check(page, folder):
    """Hold a page to what every page keeps, in every view; return what the browser saw."""
    views = views_of(page, folder)
    assert set(views) == set(VIEWS)
    for name, (width, _) in VIEWS.items():
        view = views[name]
        assert view["width"] == width, name
        assert view["page"] <= width, f"{name}: the page is {view['page']} pixels wide"
        assert view["outside"] == [], name
        assert (view["scripts"], view["requests"]) == (0, [])
        assert (view["empty"], view["hollow"], view["broken"]) == ([], 0, 0)
        assert view["mute"] == 0, "a picture without an alternative in words"
        assert view["sections"]
        if view["charts"]:
            assert view["letters"] >= 9, f"{name}: letters of {view['letters']} pixels in curves"
        assert view["cells"] >= 5, f"{name}: letters of {view['cells']} pixels in a table"
    assert views["wide"]["sections"] == views["narrow"]["sections"]
    return views["wide"]


def by_hand(folder, players, status="failed", reason="the disk is full", **more):
    """Write the records of a run of five games that was never played, and its page."""
    config = Config.from_dict(
        {
            "title": "A run with " + LONG,
            "model": "exponential_family",
            "players": {name: {} for name in players},
            "compare": list(GAMES[1:]),
            "game": {"name": "sample_exchange", "rounds": 3},
        }
    ).to_dict()
    values = {
        "status": status,
        "reason": reason,
        "config": config,
        "versions": {"python": "3", "coplay": "0"},
        "data": {
            "name": "digits",
            "train": 400,
            "test": 90,
            "space": {"x": {"kind": "real"}, "class": {"kind": "categorical", "classes": 3}},
            "learned": {name: ["x"] for name in players},
            "sizes": dict.fromkeys(players, 12),
            "counts": {name: [3, 4, 5] for name in players},
        },
        "notes": ["read from /a/path/" + "that/goes/on/" * 9],
        "games": {game: {} for game in GAMES},
        "classifier": {"accuracy": 0.875, "n_test": 90},
        **more,
    }
    write_run(folder, values)
    for place, game in enumerate(GAMES):
        rows = []
        for round in (1, 2, 3):
            measured = {}
            for k, name in enumerate(players):
                score = 1000.0 / (round + k + place + 1)
                measured[name] = {
                    quantity: Value(score, "units", "lower", 100, 90, score - 1, score + 1)
                    for quantity in QUANTITIES
                }
            reported = {name: {"loss": 9.0 / round} for name in players}
            seconds = {"learning": 1.0, "sampling": 0.5}
            row = RoundRecord(round, reported, measured=measured, seconds=seconds)
            rows.append(row.json())
        chain = write_rows(folder / game, rows)
        links = [LinkTraffic("exchange", players[0], players[-1], 3 * 1024**2, 10)]
        write_checkpoint(folder / game, 3, links, chain)
    return write(Result.load(folder))


def test_a_failed_run_of_many_long_names_and_five_games_fits(tmp_path):
    players = [LONG, *(f"site{k}" for k in range(13))]
    page = by_hand(tmp_path / "run", players)
    view = check(page, tmp_path)
    assert view["charts"] == len(QUANTITIES) + 1
    assert any(text.startswith(f"{LONG}, pooled\nround 3: ") for text in view["hovers"]) is False
    assert any(text.startswith(f"{LONG}, sample exchange\nround 3: 250") for text in view["hovers"])
    assert {"headline", "curves", "traffic", "absent", "provenance"} <= set(view["sections"])


def test_a_page_that_overflows_is_noticed(tmp_path):
    """The measure itself: a wide block, a script, an empty section and a picture without words."""
    page = by_hand(tmp_path / "run", ["north", "south"])
    faulty = (
        '<section id="bad"><h2>Nothing here</h2></section><div style="width:1300px">wide</div>'
        "<script>1</script><svg></svg><table></table></main>"
    )
    page.write_text(page.read_text().replace("</main>", faulty))
    for view in views_of(page, tmp_path).values():
        assert view["page"] >= 1300
        assert any("wide" in text for text in view["outside"])
        assert (view["scripts"], view["empty"], view["hollow"], view["mute"]) == (1, ["bad"], 1, 1)


# ----------------------------------------------------------------- runs that were played


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Pages of small runs, by what they are of."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a fixture of the module comes before conftest's
    home = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("coplay.metrics.features._STEPS", (100, 100))  # it need not judge well here
        runs = {
            "resumed": resumed(images(1), home / "one"),
            "images": Federation(images(2)).run(home / "two"),
            "table": Federation(table(home)).run(home / "table"),
            "md_gan": Federation(gans()).run(home / "gans"),
        }
    pages = {kind: write(result) for kind, result in runs.items()}
    pages["site"] = write_pages(runs["table"])[0]
    both = Comparison.load([home / "one", home / "two"])
    pages["comparison"] = write_comparison(both, home / "comparison", "Two seeds", by_player=True)
    yield pages
    torch.set_num_threads(threads)


def resumed(config, folder):
    """A run that was stopped by hand after two rounds, and resumed."""

    def stop(what, done, of):
        if (what, done) == ("sample_exchange", 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Federation(config).run(folder, stop)
    stopped = write(Result.load(folder)).read_text()
    assert 'class="status stopped"' in stopped
    return Federation.resume(folder)


def images(seed):
    return Config.from_dict(
        {
            "title": "Two sites",
            "seed": seed,
            "players": {"north": {}, "south": {}},
            "model": "exponential_family",
            "data": {
                "partition": {
                    "name": "by_count",
                    "counts": {"north": [40, 40, 0], "south": [0, 20, 60]},
                }
            },
            "game": {"name": "sample_exchange", "rounds": 3, "samples_per_round": 200},
            "compare": ["isolated", "pooled"],
            "measure": {"every_rounds": 1, "samples": 100, "shown": 9},
            "checkpoint": {"every_rounds": 1},
        }
    )


def table(home):
    """Two sites with files of their own."""
    generator = np.random.default_rng(0)
    players = {}
    for name in ("north", LONG):
        lines = ["age,later,diagnosis of the patient"]
        for _ in range(120):
            age = generator.normal(50, 10)
            ill = "malignant" if generator.random() < 1 / (1 + np.exp((50 - age) / 5)) else "benign"
            lines.append(f"{age:.2f},{age + generator.normal(9, 2):.2f},{ill}")
        file = home / f"{name}.csv"
        file.write_text("\n".join(lines))
        players[name] = {"data": {"source": {"name": "table", "file": str(file)}}}
    return Config.from_dict(
        {
            "variables": {
                "age": {"kind": "real"},
                "later": {"kind": "real"},
                "diagnosis of the patient": {
                    "kind": "categorical",
                    "categories": ["benign", "malignant"],
                },
            },
            "players": players,
            "model": {"name": "conditionals", "hidden": 8},
            "game": {"name": "sample_exchange", "rounds": 2, "local_steps": 5, "own_rounds": 1},
            "compare": ["isolated"],
            "measure": {"target": "diagnosis of the patient", "samples": 200, "every_rounds": 1},
        }
    )


def gans():
    return Config.from_dict(
        {
            "title": "MD-GAN",
            "players": 4,
            "compare": ["fl_gan"],
            "data": {"source": {"name": "digits", "grey": True}, "variables": ["image", "class"]},
            "model": {"name": "acgan", "latent": 5, "batch": 10},
            "game": {"name": "md_gan", "rounds": 2, "local_steps": 3},
            "measure": {"metrics": ["class_shares", "fid"], "every_rounds": 1, "samples": 100},
        }
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["resumed", "images", "table", "md_gan", "site", "comparison"])
def test_a_page_keeps_what_every_page_keeps(pages, kind, tmp_path):
    view = check(pages[kind], tmp_path)
    text = pages[kind].read_text()
    assert '<p class="lead">' in text
    if kind == "site":
        assert "Your utility is " in text
        assert 'title="How well a linear model that learned from samples alone' in text
    else:
        assert view["charts"] >= 2
        assert any("\nround 2: " in hover for hover in view["hovers"])
    assert ("interruptions" in view["sections"]) is (kind == "resumed")
    if kind == "resumed":
        assert "It was stopped by hand. It went on after round " in text

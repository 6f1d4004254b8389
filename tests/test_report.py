"""The report: real runs, written and read back."""

import html
import json
import re
import textwrap
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
import torch

from coplay.core.errors import PlayerError
from coplay.report.figures import image_grid
from coplay.report.page import write
from coplay.report.parts import SHOWN_PLAYERS, plain
from coplay.report.words import aligned
from coplay.run.config import Config
from coplay.run.federation import Federation
from coplay.run.result import Result

SECTIONS = (
    "headline",
    "holdings",
    "samples",
    "shares",
    "influence",
    "curves",
    "traffic",
    "time",
    "absent",
    "provenance",
)
TITLE = 'Two sites <script>alert("x")</script> & more'
TWO_SITES = {
    "title": TITLE,
    "players": {"north": {}, "south": {}},
    "model": "exponential_family",
    "data": {
        "partition": {"name": "by_count", "counts": {"north": [40, 40, 0], "south": [0, 20, 60]}}
    },
    "game": {"name": "sample_exchange", "rounds": 2, "samples_per_round": 200},
    "compare": ["isolated", "pooled"],
    "measure": {"every_rounds": 1, "samples": 100, "shown": 9},
    "checkpoint": {"every_rounds": 1},
}
UNMEASURED = {"every_rounds": 1, "samples": 100, "shown": 9, "metrics": []}
# More components than samples: scikit-learn refuses to fit it.
BROKEN = {"name": "sklearn.mixture:GaussianMixture", "n_components": 5000}


@dataclass(frozen=True)
class Page:
    """A run with its report read back."""

    result: Result
    html: str
    data: dict

    @classmethod
    def of(cls, folder: Path) -> "Page":
        result = Result.load(folder)
        path = write(result)
        return cls(result, path.read_text(), json.loads((folder / "report.json").read_text()))

    def section(self, name: str) -> str:
        return re.search(rf'<section id="{name}">(.*?)</section>', self.html, re.S).group(1)


def play(folder: Path, **changes) -> Page:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("coplay.metrics.features._STEPS", (100, 100))  # it need not judge well here
        Federation(Config.from_dict(TWO_SITES | changes)).run(folder)
    return Page.of(folder)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in every test; a fixture of the module comes before conftest's
    yield play(tmp_path_factory.mktemp("measured") / "run")
    torch.set_num_threads(threads)


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A user's sources: colour pictures, and a table, neither with classes."""
    (tmp_path / "my_sources.py").write_text(
        textwrap.dedent(
            """
            import torch
            from coplay.data.sources.base import Dataset, Source
            from coplay.core.space import Space, Variable

            def split(name, space, values):
                part = lambda rows: space.samples(**{k: v[rows] for k, v in values.items()})
                return Dataset(name, space, part(slice(0, 60)), part(slice(60, 80)))

            class Pictures(Source):
                def load(self):
                    mask = Variable(kind="binary", shape=(1, 4, 5))
                    space = Space({"view": Variable(kind="real", shape=(3, 4, 5)), "mask": mask})
                    draw = torch.Generator().manual_seed(1)
                    view = torch.randn(80, 3, 4, 5, generator=draw)
                    mask = (view[:, :1] > 0).to(torch.uint8)
                    return split("pictures", space, {"view": view, "mask": mask})

            class Patients(Source):
                def load(self):
                    visits = Variable(kind="count", shape=(9,))
                    space = Space({"age": Variable(kind="real"), "visits": visits})
                    draw = torch.Generator().manual_seed(1)
                    age = 50 + 10 * torch.randn(80, generator=draw)
                    visits = torch.randint(0, 9, (80, 9), generator=draw)
                    return split("patients", space, {"age": age, "visits": visits})
            """
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    return lambda name: {"source": f"my_sources:{name}", "partition": "iid"}


def test_page_is_self_contained(page):
    text = re.sub(r'src="data:image/png;base64,[A-Za-z0-9+/=]+"', 'src="embedded"', page.html)
    assert not re.search(r"https?:|//|<script|<link|<iframe|@import|url\(", text)
    assert text.count('<img src="embedded"') == text.count("<img ") == text.count("src=") == 5
    curves = text.count('role="img" aria-label="Curves of ')
    bars = text.count('role="img" aria-label="Shares of ')
    assert curves > 2
    assert bars == 2
    assert text.count("<svg viewBox") == curves + bars
    assert sorted(p.name for p in (page.result.folder / "figures").iterdir()) == [
        "holdings.png",
        "influence.png",
        "learning.svg",
        "samples-image.png",
        "scores.svg",
        "shares.svg",
        "time.png",
        "traffic.png",
    ]


def test_every_section_appears_in_order(page):
    assert tuple(re.findall(r'<section id="(\w+)">', page.html)) == SECTIONS
    assert set(SECTIONS) - {"absent"} < set(page.data)
    assert "losses" in page.data
    for name in SECTIONS:
        assert (
            "<table" in page.section(name)
            or "<img" in page.section(name)
            or "<svg" in page.section(name)
            or "<p>" in page.section(name)
        )


def test_the_first_paragraph_says_what_playing_brought(page):
    plays = page.result.plays
    after, alone, pooled = (
        plays[game].scalars("fid") for game in ("sample_exchange", "isolated", "pooled")
    )
    write = aligned([*after.values(), *alone.values(), *pooled.values()])
    changes = [f"{name} from {write(alone[name])} to {write(after[name])}" for name in after]
    low, high = write(min(pooled.values())), write(max(pooled.values()))
    assert page.data["in_short"].startswith(
        f"Compared with learning alone, sample exchange took the FID of {' and '.join(changes)}. "
        f"One model of everybody's data has {low} to {high}. "
    )
    assert page.data["in_short"] in html.unescape(page.html)


def test_of_many_players_the_first_paragraph_names_the_ends(tmp_path):
    page = play(tmp_path / "run", players=6, data={"partition": "iid"}, compare=[])
    after = page.result.plays["sample_exchange"].scalars("fid")
    write = aligned(after.values())
    low, high = min(after, key=after.get), max(after, key=after.get)
    assert page.data["in_short"].startswith(
        f"After sample exchange the FID is {write(after[low])} for {low} and "
        f"{write(after[high])} for {high} (of 6 players those with the smallest and the largest "
        "value). "
        "What each has alone is not known without compare = ['isolated']. The FID is how far "
    )


def test_title_is_escaped(page):
    assert html.escape(TITLE, quote=False) in page.html.replace("&#34;", '"')
    assert page.data["title"] == TITLE


def test_numbers_are_those_of_the_summary(page):
    summary = json.loads((page.result.folder / "summary.json").read_text())
    for game, summed in summary["games"].items():
        assert page.data["headline"]["measured"][game] == summed["measured"]
    main = summary["games"]["sample_exchange"]
    for name, shares in page.data["shares"]["players"].items():
        values = main["measured"][name]
        assert shares["predicted"] == main["predicted"][name]
        assert shares["measured"] == values["class_shares"]["value"]
        assert shares["raw"] == values["class_shares_raw"]["value"]
        assert shares["distance_to_prediction"] == values["distance_to_prediction"]["value"]
        assert (shares["n"], shares["n_real"]) == (100, summary["classifier"]["n_test"])
    assert page.data["headline"]["classifier"] == summary["classifier"]


def test_curves_are_those_of_the_rows(page):
    for game, play in page.result.plays.items():
        for name in ("north", "south"):
            line = next(
                x
                for x in page.data["curves"]["measured"]["fid"]
                if (x["game"], x["player"]) == (game, name)
            )
            assert line["rounds"] == [1, 2]
            assert line["values"] == [row.measured[name]["fid"].value for row in play.rows]
    (line, _) = page.data["curves"]["learning"]["moment_change"]
    assert line["values"] == [
        row.players["north"]["moment_change"] for row in page.result.main.rows
    ]


def test_scores_stand_in_the_table_with_their_counts(page):
    text = page.section("headline")
    value = page.result.main.last["north"]["distance_to_prediction"].value
    assert f"<td>{value:.3f}</td>" in text
    assert "n = 100 generated samples" in text
    classifier = page.result.record.classifier
    assert f"{classifier.accuracy:.1%} of n = {classifier.n_test} real test samples" in text
    assert "80<small>0, 1</small>" in text
    assert "exponential_family" in text


def test_holdings_influence_and_traffic_are_those_of_the_run(page):
    record = page.result.record
    assert page.data["holdings"]["counts"] == record.data.counts
    assert page.data["influence"]["influence"] == plain(
        record.games["sample_exchange"].influence.json()
    )
    assert page.data["traffic"]["links"]["sample_exchange"] == [
        asdict(link) for link in page.result.main.traffic
    ]
    sent = sum(link.bytes for link in page.result.main.traffic if link.purpose == "exchange")
    assert f"<td>{sent / 1024:.2f} KiB</td>" in page.section("traffic")
    seconds = page.data["time"]["seconds"]["isolated"]
    assert seconds["learning"] == pytest.approx(
        sum(row.seconds["learning"] for row in page.result.plays["isolated"].rows)
    )


def test_config_and_versions_are_shown(page):
    text = html.unescape(page.section("provenance"))
    assert 'name = "sample_exchange"' in text
    assert page.result.record.versions["torch"] in text
    assert page.data["provenance"]["config"] == page.result.config.to_dict()


def test_writing_again_changes_nothing(page):
    before = {p: p.read_bytes() for p in page.result.folder.rglob("*") if p.is_file()}
    write(Result.load(page.result.folder))
    assert {p: p.read_bytes() for p in page.result.folder.rglob("*") if p.is_file()} == before


def test_failed_run_with_no_round(tmp_path):
    with pytest.raises(PlayerError):
        play(
            tmp_path / "run", players={"north": {}, "south": {"model": BROKEN}}, measure=UNMEASURED
        )
    page = Page.of(tmp_path / "run")
    assert page.data["status"]["word"] == "failed"
    assert "player 'south' failed at 'turn' in round 1" in html.unescape(page.html)
    assert "for 0 of 2 rounds" in page.html
    assert re.findall(r'<section id="(\w+)">', page.html) == [
        "headline",
        "holdings",
        "influence",
        "absent",
        "provenance",
    ]
    absent = page.section("absent")
    assert "No samples are on disk" in absent
    assert "No round was finished" in absent
    assert "The models reported no numbers" in absent
    assert "No player was lost" in absent
    assert set(SECTIONS) - {"absent"} < set(page.data)


def test_run_without_metrics_in_a_single_game(tmp_path):
    page = play(
        tmp_path / "run", measure=UNMEASURED, compare=[], game={"name": "isolated", "rounds": 2}
    )
    assert page.data["status"]["word"] == "finished"
    assert "nothing was scored" in page.section("headline")
    assert "Class shares were not measured." in page.section("absent")
    assert "No samples travelled" in page.section("traffic")
    assert "<img" in page.section("samples")
    assert [column["round"] for column in page.data["samples"]["columns"]] == [1, 2]


def test_lost_and_frozen_players_are_listed(tmp_path):
    page = play(
        tmp_path / "run",
        players={"north": {}, "south": {"model": BROKEN}, "east": {}},
        data={"partition": {"name": "by_count", "counts": {"north": 5, "south": 5, "east": 0}}},
        game={
            "name": "sample_exchange",
            "rounds": 2,
            "on_lost": "continue",
            "alpha": [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0]],
        },
        compare=[],
        measure=UNMEASURED,
    )
    losses = page.data["losses"]["sample_exchange"]
    assert losses["lost"]["south"]["round"] == 1
    assert losses["frozen"] == {"east": 1}
    assert "lost in round 1" in page.section("headline")
    assert "lost at &#39;turn&#39;" in page.section("losses")


def test_colour_pictures_without_classes(tmp_path, sources):
    page = play(tmp_path / "run", data=sources("Pictures"))
    assert page.section("samples").count("<img") == 2
    assert "The range is unbounded" in page.section("samples")
    assert "no classes" in page.section("absent")
    assert "without classes" in page.section("headline")


def test_anything_else_is_a_table(tmp_path, sources):
    page = play(tmp_path / "run", data=sources("Patients"))
    text = page.section("samples")
    assert "<img" not in text
    assert "south 3" in text
    assert "… (9 numbers)" in text
    ages = page.result.main.samples(2)["north"]["age"]
    assert f"<td>{ages[0].item():.4g}</td>" in text


def test_many_players_are_cut_with_a_note(tmp_path):
    page = play(
        tmp_path / "run", players=14, data={"partition": "iid"}, measure=UNMEASURED, compare=[]
    )
    assert f"The first {SHOWN_PLAYERS} of 14 players are shown" in page.section("headline")
    assert (
        len(page.data["headline"]["players"]) == page.data["influence"]["influence"]["size"] == 14
    )


@pytest.mark.parametrize("shape", [(5, 8, 8), (5, 1, 8, 8), (1, 3, 6, 7)])
def test_image_grid_is_a_picture(shape):
    for images in (
        torch.zeros(shape, dtype=torch.uint8),
        torch.randn(shape, generator=torch.Generator().manual_seed(1)),
    ):
        assert image_grid(images).startswith(b"\x89PNG")

"""What leaves a private site does not depend on its rows, but for what was charged.

A run is played, then again as it was, and then with other rows behind the same stand-in (or with
the charged mechanisms of DP-SGD cut off, so that nothing may depend on rows at all). Whatever is
the same in the first two runs has to be the same in the third: every number and every byte of the
messages, and every value in every file outside of the site's own folder. So a private number is
noticed in whatever form it leaves, rounded, counted or as a failure.
"""

import hashlib
import json
import re
import shutil

import pytest
import torch

from coplay import Federation
from coplay.cli.main import main
from coplay.core.codec import reply_to_bytes
from coplay.core.message import Message
from coplay.site import private_model, private_steps
from coplay.site.measuring import SiteMeasurer

from .private_sites import MOMENTS, federation, replies_of
from .test_private_sites import LEARNING, SMALL

SITE = """
[tell]
count = "exact"
shares = true
small_cell = 1
numbers = ["all"]

[audit]
every_rounds = 1
"""

METRICS = ["fidelity", "utility", "memorisation"]
GAME = {
    "name": "sample_exchange",
    "rounds": 2,
    "local_steps": 1,
    "samples_per_round": 40,
    "own_weight": 0.5,
}


def other_rows(path):
    """Rows of which next to nothing can be measured: one class, one age, both ends of a range."""
    rows = [f"q{i},77.125,{10 * (i % 2)},ill" for i in range(250)]
    path.write_text("\n".join(["patient,age,dose,class", *rows]) + "\n")


def flat(value, place=()):
    """Return each value inside of others, with its place."""
    if isinstance(value, dict):
        inside = value.items()
    elif isinstance(value, list):
        inside = enumerate(value)
    else:
        return {place: value}
    values = {}
    for key, inner in inside:
        values |= flat(inner, (*place, key))
    return values


def timeless(line):
    """Return a line without durations and dates, which are equal or not by chance."""
    line = re.sub(r"\d{4}-\d\d-\d\dT[\d:+.]+", "T", line)
    return re.sub(r"[\d.,]+ ?(s|ms|min|seconds)\b", "T", line)


def of_message(reply):
    """Return all that an answer says, by what it is called."""
    if not isinstance(reply, Message):
        return {"loss": f"{type(reply).__name__}: {reply.reason}"}
    values = {"bytes": len(reply_to_bytes(reply)), "lines": reply.head.lines}
    values |= {f"number {name}": number for name, number in reply.numbers.items()}
    for name, samples in reply.samples().items():
        for variable in samples.keys():
            content = samples[variable].contiguous().numpy().tobytes()
            values[f"{name}, {variable}"] = hashlib.sha256(content).hexdigest()
    return values


def of_file(path):
    """Return all that a file says, by place."""
    if path.name == "heads.json":  # its digests are of lines with dates
        heads = flat(json.loads(path.read_text()))
        return {place: value for place, value in heads.items() if place[-1] != 1}
    if path.suffix == ".json":
        return flat(json.loads(path.read_text()))
    if path.suffix == ".jsonl":
        return flat([json.loads(line) for line in path.read_text().splitlines()])
    if path.suffix in (".html", ".txt", ".toml", ".csv", ".md"):
        text = re.sub(r'<section id="time">.*?</section>', "", path.read_text(), flags=re.S)
        return dict(enumerate(map(timeless, text.splitlines())))
    return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.fixture
def played(tmp_path, monkeypatch, capsys):
    """Play a run, and return all that left north, by place: messages, files, and what is shown."""
    replies = replies_of("north", monkeypatch)

    def play(name, privacy, **more):
        replies.clear()
        settings = {"samples": 100, "shown": 3, "metrics": METRICS, "target": "class"}
        config = federation(tmp_path, privacy, model=SMALL, measure=settings, game=GAME, **more)
        file = tmp_path / "north" / "site.toml"
        file.write_text(file.read_text() + SITE)
        config = type(config).from_dict(config.model_dump(mode="json", exclude_unset=True))
        folder = tmp_path / name
        capsys.readouterr()
        Federation(config).run(folder)
        assert main(["report", str(folder)]) == 0
        assert main(["show", str(folder)]) == 0
        shown = capsys.readouterr()
        assert len(replies) > 3
        left = {}
        for place, reply in enumerate(replies):
            left |= {("message", place, *key): v for key, v in flat(of_message(reply)).items()}
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder).as_posix()
            # the record of the other site has its seconds in its digests
            is_seconds = path.name == "egress.jsonl"
            if path.is_file() and not inside.startswith("sites/north") and not is_seconds:
                values = of_file(path)
                left |= {("file", inside, place): value for place, value in values.items()}
        for stream, text in (("out", shown.out), ("err", shown.err)):
            lines = text.replace(str(folder), "RUN").splitlines()
            left |= {(stream, place): timeless(line) for place, line in enumerate(lines)}
        return left

    return play


def follows_from_rows(tmp_path, played, privacy, between=lambda: None, **more):
    """Return the places of what differs with the rows, and does not differ without."""
    first = played("first", privacy, **more)
    between()
    again = played("again", privacy, **more)
    between()
    other_rows(tmp_path / "north" / "rows.csv")
    other = played("other", privacy, **more)

    def unlike(one, two):
        places = one.keys() | two.keys()
        differing = {place for place in places if one.get(place, 0) != two.get(place, 0)}
        # those of others: that north tells none is asserted of its messages
        return {place for place in differing if "seconds" not in str(place)}

    restless = unlike(first, again)
    assert len(restless) < len(first) / 3, "dates, and digests of what has dates"
    of_messages = [place for place in first if place[0] == "message"]
    assert not any("seconds" in str(place) for place in of_messages)
    assert restless.isdisjoint(of_messages)
    return sorted(map(str, unlike(first, other) - restless))


def cut_off(monkeypatch):
    """Replace what is charged for by something that depends on no row."""

    def gradient(steps):
        size = sum(p.numel() for side in steps._model.sides().values() for p in side)
        return torch.zeros(size, dtype=torch.float64)

    def histogram(model, rows, noise):
        return torch.ones_like(model.histogram(rows.samples[:1])[0])

    monkeypatch.setattr(private_steps.PrivateSteps, "gradient", gradient)
    monkeypatch.setattr(private_model, "released_histogram", histogram)


def test_behind_the_same_stand_in_other_rows_change_nothing_that_leaves(tmp_path, played):
    assert follows_from_rows(tmp_path, played, {"stand_in": MOMENTS}, compare=["isolated"]) == []


def test_but_for_charged_steps_other_rows_change_nothing_that_leaves(tmp_path, played, monkeypatch):
    pytest.importorskip("opacus")
    cut_off(monkeypatch)

    def begin_anew():
        shutil.rmtree(tmp_path / "north" / "privacy")

    assert follows_from_rows(tmp_path, played, LEARNING, begin_anew) == []


def test_what_cannot_be_measured_on_some_rows_is_no_sign_of_them(tmp_path, played, monkeypatch):
    def measure(measurer, samples, request, log_p, round):
        if measurer.holdings.scored["class"].unique().numel() < 2:
            raise ValueError("only one class, such as that of 77.125 years")
        return {}

    monkeypatch.setattr(SiteMeasurer, "measure", measure)
    assert follows_from_rows(tmp_path, played, {"stand_in": MOMENTS}) == []
    words = (tmp_path / "other/sites/north/sample_exchange/errors.txt").read_text()
    assert "only one class, such as that of 77.125 years" in words, "its owner may read them"


@pytest.mark.parametrize("form", ["a mean of three digits", "a count by tens"])
def test_a_private_number_is_noticed_in_whatever_form_it_leaves(
    tmp_path, played, monkeypatch, form
):
    def measure(measurer, samples, request, log_p, round):
        rows = measurer.holdings.scored
        if "mean" in form:
            return {"utility": float(f"{rows['age'].mean() / 1000:.3g}")}
        return {"utility": -10.0 * (len(rows) // 10)}

    monkeypatch.setattr(SiteMeasurer, "measure", measure)
    noticed = follows_from_rows(tmp_path, played, {"stand_in": MOMENTS})
    assert any("'number utility'" in place for place in noticed)
    assert any("rows.jsonl" in place for place in noticed)

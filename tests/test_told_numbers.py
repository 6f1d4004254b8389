"""What a site's [tell] withholds stands at the site, and slips in its names are refused."""

from __future__ import annotations

import json
import os
import stat

import pytest

from coplay import Federation, find, names
from coplay.core.errors import CoplayError, ModelError
from coplay.core.number_log import NumberLog, drop_from
from coplay.core.telling import Telling
from coplay.models.base import LocalModel
from coplay.report.site_page import write_pages
from coplay.site.told_names import unknown_names

from .contracts.test_models import SPACES, mixture, refusal
from .test_measuring_at_players import TELL_ALL, federation, write_sites

LOSSES = {"p(age)_loss", "p(weight)_loss", "p(smokes)_loss", "autocorrelation"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wards")
    tells = {"open": TELL_ALL, "shy": '[tell]\nnumbers = ["p(age)_loss"]\n', "silent": ""}
    write_sites(folder, tells)
    return Federation(federation(folder, list(tells))).run(folder / "run")


def reported(run, name):
    path = run.folder / "sites" / name / "sample_exchange" / "site" / f"{name}.numbers.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_site_keeps_each_number_and_the_run_those_that_were_told(run):
    for name, told in (("open", LOSSES), ("shy", {"p(age)_loss"}), ("silent", set())):
        lines = reported(run, name)
        assert [line["round"] for line in lines] == [1, 2, 3, 4]
        for line, row in zip(lines, run.main.rows, strict=True):
            assert set(line["numbers"]) == LOSSES
            assert set(line["told"]) == told
            left = {key: row.players[name][key] for key in row.players[name] if key in LOSSES}
            assert left == {key: line["numbers"][key] for key in told}


def test_what_was_withheld_is_in_no_file_but_those_of_the_site(run):
    secrets = {
        repr(number) for line in reported(run, "silent") for number in line["numbers"].values()
    }
    assert len(secrets) == 16
    for path in run.folder.rglob("*.json*"):
        if path.parent.name != "site":
            text = path.read_text()
            assert not [secret for secret in secrets if secret in text], path


def test_the_page_of_a_site_has_its_losses_and_says_which_of_them_left(run):
    pages = {page.parent.name: page.read_text() for page in write_pages(run)}
    for name, page in pages.items():
        assert "What your model reported of learning" in page
        last = reported(run, name)[-1]["numbers"]["p(weight)_loss"]
        assert f"{last:.2f}" in page or f"{last:.3f}" in page
    assert "these numbers left: p(age) loss." in pages["shy"]
    kept = pages["shy"].partition("These stayed here: ")[2].partition("</p>")[0]
    assert "p(smokes) loss, p(weight) loss" in kept
    assert "p(age) loss" not in kept


def test_a_site_has_a_page_though_nothing_was_measured(tmp_path):
    write_sites(tmp_path, {"a": "", "b": ""})
    config = federation(tmp_path, ["a", "b"])
    measure = config.measure.model_copy(update={"preset": "none"})
    config = config.model_copy(update={"measure": measure})
    result = Federation(config).run(tmp_path / "run")
    pages = write_pages(result)
    assert [page.parent.name for page in pages] == ["a", "b"]


class Stop(KeyboardInterrupt):
    """Somebody pressed Ctrl-C."""


def test_a_run_that_goes_on_has_a_line_a_round(tmp_path, run):
    write_sites(tmp_path, {"open": TELL_ALL, "shy": "", "silent": ""})
    config = federation(tmp_path, ["open", "shy", "silent"])

    def stop(what, done, of):
        if what == "sample_exchange" and done == 2:
            raise Stop

    with pytest.raises(Stop):
        Federation(config).run(tmp_path / "run", stop)
    Federation.resume(tmp_path / "run")
    path = tmp_path / "run/sites/silent/sample_exchange/site/silent.numbers.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["round"] for line in lines] == [1, 2, 3, 4]
    assert [line["numbers"] for line in lines] == [
        line["numbers"] for line in reported(run, "silent")
    ]


def test_a_log_begins_a_round_anew_after_going_back(tmp_path):
    path = tmp_path / "a.jsonl"
    log = NumberLog(path, Telling())
    for round in (1, 2, 3):
        log.add(round, {"loss": float(round), "flops": 9.0, "odd": float("nan")})
        log.write()
    log.forget_after(1)
    log.add(2, {"loss": 7.0})
    log.add(2, {"loss": 8.0})
    log.write()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["round"], line["numbers"]) for line in lines] == [
        (1, {"loss": 1.0}),
        (2, {"loss": 7.5}),
    ]
    path.write_text(path.read_text() + '{"round": 3, "num')
    drop_from(path, 3)
    assert len(path.read_text().splitlines()) == 2, "a line that was cut off is dropped"


def test_a_process_that_ends_while_it_goes_back_loses_no_round(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"round": {round}}}\n' for round in (1, 2, 3)))
    before = path.read_bytes()

    def dies(*paths):
        raise KeyboardInterrupt

    with monkeypatch.context() as last_moment:
        last_moment.setattr(os, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            drop_from(path, 3)
    assert path.read_bytes() == before
    drop_from(path, 3)
    assert path.read_bytes() == before[: len(before) * 2 // 3]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "utilty",
            "'utilty' is no number that is measured or reported here; known, nearest first: util",
        ),
        ("loss", "'loss' is no number that is measured or reported here; known, nearest first: p("),
        ("fidelity", "'fidelity' is the metric; name its numbers: 'column_fidelity', 'pair_"),
    ],
)
def test_a_slip_in_a_name_is_refused_before_play(tmp_path, name, words):
    write_sites(tmp_path, {"a": f'[tell]\nnumbers = ["utility", "{name}"]\n', "b": ""})
    with pytest.raises(ModelError) as caught:
        Federation(federation(tmp_path, ["a", "b"])).run(tmp_path / "run")
    assert f"site 'a', [tell] numbers: {words}" in str(caught.value)
    assert not (tmp_path / "run" / "run.json").exists()


class Quiet(LocalModel):
    """Does not say which numbers it reports."""

    def setup(self, space, seed):
        pass

    def learn(self, mixture, steps, generator):
        return {"whatever": 1.0}

    def sample(self, n, generator):
        raise NotImplementedError

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def test_a_model_of_ones_own_may_report_anything():
    assert Quiet().reports() is None
    assert unknown_names(Telling(numbers=("moment_change",)), ["moment_change"]) == []
    assert unknown_names(Telling(numbers=("copies/north", "value", "all")), []) == []


@pytest.mark.parametrize("name", names("model"))
def test_every_model_says_which_numbers_it_reports(name):
    import torch

    met = False
    for kind, space in SPACES.items():
        if refusal(name, kind) is not None:
            continue
        model = find("model", name).tiny()
        model.setup(space, 5)
        said = model.reports()
        if said is None:
            pytest.skip("it does not say")
        try:
            numbers = model.learn(mixture(space), 2, torch.Generator().manual_seed(1))
        except CoplayError:
            continue
        met = True
        assert set(numbers) - {"flops"} <= set(said), kind
    assert met

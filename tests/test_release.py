"""Samples to hand on: with schema, card and digests, and with nothing private."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pyarrow.parquet
import pytest

from coplay import Config, Federation
from coplay.cli.main import main
from coplay.run.release_card import NOT_FOR
from coplay.site.egress import Egress, Line, Record

from .sites_for_borders import record, wards


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    more = {"north": '[tell]\ncount = "exact"\n'}
    config = Config.from_file(wards(folder / "wards", rounds=2, more=more))
    Federation(config).run(folder / "run")
    return folder / "run"


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def release(capsys, *arguments, code=0):
    assert main(["release", *map(str, arguments)]) == code
    return capsys.readouterr().err if code else ""


def test_a_release_has_five_files_with_their_digests_and_nothing_private(run, tmp_path, capsys):
    out = tmp_path / "out"
    release(capsys, run, "--player", "north", "-n", 50, "--out", out)
    names = {path.name for path in out.rglob("*")}
    assert names == {"samples.csv", "schema.json", "card.json", "card.md", "digests.json"}
    digests = json.loads((out / "digests.json").read_text())
    assert set(digests) == names - {"digests.json"}
    for name, digest in digests.items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    header, *rows = (out / "samples.csv").read_text().splitlines()
    assert sorted(header.split(",")) == ["age", "dose", "outcome"]
    assert len(rows) == 50
    schema = json.loads((out / "schema.json").read_text())
    assert schema["outcome"]["names"] == ["ill", "well"]
    assert (schema["age"]["low"], schema["age"]["high"]) == (0, 120)
    # nothing says where anything lies, and no private file is in it
    everything = b"".join(path.read_bytes() for path in out.iterdir())
    for secret in (str(run), "north.csv", ".safetensors", "sites/north"):
        assert secret.encode() not in everything


def test_the_card_says_what_was_told_and_no_more(run, tmp_path, capsys):
    out = tmp_path / "out"
    release(capsys, run, "--player", "south", "--out", out)
    card = json.loads((out / "card.json").read_text())
    assert card["samples"] == 1000
    assert card["epsilon"] is None
    assert card["promise"].startswith("None promised")
    assert card["not_for"] == list(NOT_FOR)
    told = " ".join(card["learned_from"])
    assert "south: rows whose number is not told" in told
    assert "north: 64 rows (as told)" in told
    page = (out / "card.md").read_text()
    for text in ("None promised", "None was made.", *NOT_FOR, "north: 64 rows (as told)"):
        assert text in page


def test_a_release_is_written_into_the_record_of_its_site(run, tmp_path, capsys):
    before = Record.read(record(run, "north"))
    release(capsys, run, "--player", "north", "-n", 7, "--out", tmp_path / "out")
    after = Record.read(record(run, "north"))
    assert (after.fault, len(after.lines)) == ("", len(before.lines) + 1)
    line = after.lines[-1]
    assert (line.what, line.text) == ("release", "7 samples in the folder out")
    content = (tmp_path / "out" / "samples.csv").read_bytes()
    assert line.sha256 == hashlib.sha256(content).hexdigest()
    assert main(["egress", "verify", str(run)]) == 0
    assert main(["egress", "show", str(run), "--player", "north"]) == 0
    assert "handed on" in capsys.readouterr().out


def test_audits_are_on_the_card_with_intervals_unless_a_budget_is_kept(run, tmp_path, capsys):
    figure = {
        "attack": "density ratio",
        "name": "AUC",
        "value": 0.53,
        "low": 0.48,
        "high": 0.58,
        "chance": 0.5,
        "meaning": "What this attack shows.",
        "of": "",
    }
    audits = {"audits": [{"game": "sample_exchange", "figures": [figure], "reasons": []}]}
    (run / "sites" / "north" / "audit.json").write_text(json.dumps(audits))
    release(capsys, run, "--player", "north", "--out", tmp_path / "one")
    sentence = (
        "sample_exchange: density ratio, AUC: 0.53 (95 % interval 0.48 to 0.58; 0.5 by chance). "
        "What this attack shows."
    )
    assert sentence in (tmp_path / "one" / "card.md").read_text()
    assert main(["egress", "show", str(run), "--player", "north", "--page"]) == 0
    assert sentence in capsys.readouterr().out
    # audits are computed from real rows, and are not charged to a budget
    Egress(record(run, "north"), lambda: 1.5).write(Line("reply", round=2))
    release(capsys, run, "--player", "north", "--out", tmp_path / "two")
    page = (tmp_path / "two" / "card.md").read_text()
    assert sentence not in page
    assert "The audits stay at the site" in page
    assert "ε = 1.5 for adding or taking away one row" in page


@pytest.mark.parametrize("form", ["parquet", "npz"])
def test_other_forms_hold_the_same_samples(run, tmp_path, capsys, form):
    out = tmp_path / "out"
    release(capsys, run, "--player", "north", "-n", 9, "--form", form, "--out", out)
    if form == "parquet":
        table = pyarrow.parquet.read_table(out / "samples.parquet")
        assert table.num_rows == 9
    else:
        with np.load(out / "samples.npz") as arrays:
            assert len(arrays["age"]) == 9


def test_what_cannot_be_released_leaves_nothing(run, tmp_path, capsys):
    (tmp_path / "there").mkdir()
    printed = release(capsys, run, "--player", "north", "--out", tmp_path / "there", code=2)
    assert "exists already; name another folder with --out" in printed
    out = tmp_path / "out"
    printed = release(capsys, run, "--player", "west", "--out", out, code=2)
    assert "no player 'west'" in printed
    printed = release(capsys, run, "--player", "north", "-n", 0, "--out", out, code=2)
    assert "expected at least 1 sample" in printed
    printed = release(capsys, tmp_path / "norun", "--player", "north", "--out", out, code=2)
    assert "no run of coplay" in printed
    path = record(run, "north")
    path.write_text(path.read_text().replace('"round": 1', '"round": 2'))
    printed = release(capsys, run, "--player", "north", "--out", out, code=2)
    assert "is damaged at line" in printed
    assert {each.name for each in tmp_path.iterdir()} == {"run", "there"}

"""What models of other libraries are given to learn from, and what is made of their scores."""

import csv
import importlib
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def peers(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.setattr(sys, "path", list(sys.path))  # the script adds the repository
    return importlib.import_module("table_peers")


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_cells_are_empty_where_a_site_lacks_the_column_and_nowhere_else(peers, tmp_path):
    task = peers.task_of("breast cancer, with gaps", tmp_path, 1, tmp_path)
    together = iter(rows_of(tmp_path / "all.csv"))
    for site, lacks in task.case.lacks.items():
        for own in rows_of(tmp_path / f"{site}.csv"):
            assert next(together) == own | dict.fromkeys(lacks, "")
            assert set(own).isdisjoint(lacks)
    assert next(together, None) is None


def test_all_rows_are_learned_from_or_tested_on_and_none_is_both(peers, tmp_path):
    task = peers.task_of("breast cancer", tmp_path, 2, tmp_path)
    learned = [tuple(row.values()) for row in rows_of(tmp_path / "all.csv")]
    tested = [tuple(row.values()) for row in rows_of(tmp_path / "test.csv")]
    whole = [tuple(row) for row in task.case.table(tmp_path).rows]
    assert sorted(learned + tested) == sorted(whole)
    assert len(tested) == len(task.test) == 142


# a stand-in for a peer, as a process: it hands back the rows that it was to learn from
REPEATER = """
import json, shutil, sys
from pathlib import Path
folder = Path(sys.argv[1])
job = json.loads((folder / "job.json").read_text())
assert job["kinds"]["diagnosis"] == "category" and job["kinds"]["mean radius"] == "number"
shutil.copy(folder / job["train"], folder / "drawn.csv")
print("words before the last line")
about = {"seconds_learning": 1.5, "seconds_drawing": 0.5, "learned": {"epochs": 3},
         "versions": {"peer": "1.0"}}
print(json.dumps(about))
"""


def test_a_peer_that_repeats_its_rows_scores_as_the_real_rows_do(peers, tmp_path, monkeypatch):
    (tmp_path / "repeater.py").write_text(REPEATER)
    peer = peers.Peer("argn", str(tmp_path / "repeater.py"))
    monkeypatch.setattr(peers, "PEERS", {"repeater": peer})
    task = peers.task_of("breast cancer", tmp_path, 3, tmp_path)
    cell = peers.of_peer(task, "repeater", sys.executable)
    assert cell.values == peers.real_rows(task).values
    assert (cell.rows, cell.drawn, cell.seconds_learning) == (427, 427, 1.5)
    assert cell.versions == {"peer": "1.0"}


def test_a_peer_that_fails_is_said_with_its_error(peers, tmp_path, monkeypatch):
    (tmp_path / "failing.py").write_text("raise ValueError('no such table')")
    peer = peers.Peer("argn", str(tmp_path / "failing.py"))
    monkeypatch.setattr(peers, "PEERS", {"failing": peer})
    task = peers.task_of("breast cancer", tmp_path, 3, tmp_path)
    with pytest.raises(SystemExit, match=r"failing failed:[\s\S]*ValueError: no such table"):
        peers.of_peer(task, "failing", sys.executable)


def test_differences_to_ours_are_over_the_seeds_that_both_have(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT))
    tables = importlib.import_module("reproductions.peer_tables")
    cells = []
    for model, scores in {"autoregressive": [0.8, 0.9, 0.5], "peer": [0.82, 0.88]}.items():
        for seed, score in enumerate(scores):
            values = {"column_fidelity": score, "pair_fidelity": 0.75}
            cell = {"case": "t", "model": model, "seed": seed, "values": values}
            cells.append(cell | {"learned": {}, "seconds_learning": 2.0, "seconds_drawing": 1.0})
    content = {"command": "c", "drawn": 2000, "cells": cells}
    (tmp_path / "table_peers.json").write_text(json.dumps(content))
    monkeypatch.setattr(tables, "FILE", tmp_path / "table_peers.json")
    lines = tables.table_peers().splitlines()
    assert (
        lines[2]
        == "| t | autoregressive | 0, 1, 2 | 0.733 ± 0.208 | 0.750 ± 0.000 | – |  |  | 3.0 |"
    )
    scores = "0.850 ± 0.042 | 0.750 ± 0.000 | –"
    assert lines[3] == f"| t | peer | 0, 1 | {scores} | +0.0 ± 2.0, +0.0 ± 0.0, – |  | 3.0 |"

"""All messages of a site on disk: they are those of its record, and no row of its table is in them.

A model that keeps rows is noticed by the same questions.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from coplay import Config, Federation
from coplay.core.codec import reply_to_bytes
from coplay.core.digests import of_bytes
from coplay.run.own_data import own_data
from coplay.site.egress import Record

from .capturing import captured, samples_in
from .sites_for_borders import record, wards

PLANTED = [(41.123456, 0.7654321, "ill"), (63.765432, 0.2345678, "well"), (55.5, 0.5151515, "ill")]
"""Rows of north that nobody else has, and that no draw would meet by chance."""

HONEST = {"name": "gaussian_copula"}
MEMORISER = {"name": "tests.wall:Copies"}


def played(folder, model, coarse):
    """Play a run of sites whose messages are captured; north has the planted rows."""
    path = wards(folder / "wards", rounds=8, n=600)
    table = path.with_name("north.csv")
    header, *lines = table.read_text().splitlines()
    if coarse:  # on a grid, so that rows meet by chance
        rows = [line.split(",") for line in lines]
        lines = [f"{round(float(a) / 2) * 2},{round(float(d) * 20) / 20},{o}" for a, d, o in rows]
    lines += [f"{a!r},{d!r},{o}" for a, d, o in PLANTED * 3]
    table.write_text("\n".join([header, *lines]) + "\n")
    settings = "\n".join(f"{key} = {value!r}" for key, value in model.items())
    site = path.with_name("north.toml")
    site.write_text(f"{site.read_text()}[model]\n{settings}\n")
    text = path.read_text().replace("samples_per_round = 60", "samples_per_round = 400")
    path.write_text(text.replace("samples = 100", "samples = 200"))
    values = Config.from_file(path).to_dict()
    messages = folder / "messages"
    values["engine"] = {"name": "tests.capturing:Capturing", "folder": str(messages)}
    config = Config.from_dict(values)
    Federation(config).run(folder / "run")
    return config, messages


@pytest.fixture(scope="module", params=["honest", "honest and coarse", "memoriser"])
def case(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("captured")
    model = MEMORISER if request.param == "memoriser" else HONEST
    config, messages = played(folder, model, "coarse" in request.param)
    return request.param, folder, config, captured(messages, "north", config.game)


def rows_of(samples):
    """Return samples of all three variables as rows that can be compared exactly."""
    columns = [samples[name].double().numpy() for name in ("age", "dose", "outcome")]
    return [tuple(row) for row in np.stack(columns, 1).tolist()]


def drawn(replies):
    rows = []
    for samples in samples_in(replies):
        rows += rows_of(samples)
    assert len(rows) > 1000
    return rows


def test_the_record_has_just_the_messages_that_were_captured(case):
    """Each line has the digest of the bytes of its message, and the message the line's digest."""
    _, folder, _, replies = case
    lines = [line for line in Record.read(record(folder / "run", "north")).lines if line.number > 1]
    assert len(lines) == len(replies)
    for line, reply in zip(lines, replies, strict=True):
        assert reply.head == line.head
        bare = reply_to_bytes(replace(reply, head=None))
        assert (line.sha256, line.bytes) == (of_bytes(bare), len(bare))
        assert [part.count for part in line.parts] == [len(each) for each in samples_in([reply])]


def test_planted_rows_are_in_no_message_of_an_honest_model(case):
    kind, _, _, replies = case
    rows = set(drawn(replies))
    codes = {"ill": 0.0, "well": 1.0}
    planted = {
        (float(np.float32(age)), float(np.float32(dose)), codes[outcome])
        for age, dose, outcome in PLANTED
    }
    hits = planted & rows
    assert bool(hits) == (kind == "memoriser")


def test_training_rows_are_met_no_more_often_than_held_out_rows(case):
    """The share of distinct rows that some sample equals, of both kinds, by a one-sided test."""
    kind, _, config, replies = case
    held = own_data(config, None, {})["north"].load()
    met = set(drawn(replies))
    training = set(rows_of(held.train))
    others = set(rows_of(held.scored)) - training
    assert len(training) > 20
    assert len(others) > 4
    hits = len(training & met)
    hits_out = len(others & met)
    share = (hits + hits_out) / (len(training) + len(others))
    spread = math.sqrt(share * (1 - share) * (1 / len(training) + 1 / len(others)))
    gap = hits / len(training) - hits_out / len(others)
    is_memorised = gap > 3 * max(spread, 1 / len(training))
    assert is_memorised == (kind == "memoriser"), (hits, len(training), hits_out, len(others))

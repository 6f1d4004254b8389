"""A run goes on only with the data that it began with; with others only where a user says so."""

import json
import re
import stat

import numpy as np
import pytest
import torch

from coplay import Config, Federation, Result, Space, Variable, load_player
from coplay.cli import main as cli
from coplay.core import checkpoints, digests, storage
from coplay.core.errors import CoplayError, RunFolderError
from coplay.metrics.features import DomainClassifier

from .by_hand import cut

GAME = "sample_exchange"


def table(path, **changes):
    """Write 100 rows around 10 and 20 of two classes, or what a test makes of them."""
    generator = np.random.default_rng(1)
    classes = np.arange(100) % 2
    ages = (10.0 + 10 * classes + generator.normal(size=100)).astype(np.float32)
    values = {"train/age": ages, "train/class": classes}
    values |= {"test/age": ages[:20], "test/class": classes[:20]}
    values |= changes
    for split in ("train", "test"):
        values[f"{split}/half"] = values[f"{split}/age"] / 2
    np.savez(path, **values)
    return values


@pytest.fixture
def aged(tmp_path):
    """Return a config of two players on a file of ages."""

    def build(**sections):
        values = {
            "players": {"north": {}, "south": {}},
            "seed": 3,
            "model": {"name": "sklearn.mixture:GaussianMixture", "reg_covar": 0.1},
            "data": {"source": {"name": "npz", "file": str(tmp_path / "t.npz")}},
            "game": {"name": GAME, "rounds": 4, "local_steps": 2, "samples_per_round": 20},
            "measure": {"metrics": [], "samples": 100, "shown": 3, "every_rounds": 2},
            "checkpoint": {"every_rounds": 1},
        }
        table(tmp_path / "t.npz")
        return Config.from_dict(values | sections)

    return build


def changed_tables():
    """What may happen to a file between a run's start and its resume."""
    values = table("/dev/null")
    ages, classes = values["train/age"], values["train/class"]
    fewer = {"train/age": ages[:37] + 490, "train/class": classes[:37]}
    turned = {"train/age": ages[::-1].copy(), "train/class": classes[::-1].copy()}
    other = classes.copy()
    other[[3, 4]] = other[[4, 3]]
    test = values["test/age"].copy()
    test[0] += 1
    return {
        "fewer rows": (fewer, "player 'north'"),
        "another order": (turned, "player 'north'"),
        "other labels": ({"train/class": other}, "the training split"),
        "more digits": ({"train/age": ages.astype(np.float64) + 1e-9}, None),
        "another test split": ({"test/age": test}, "the test split"),
    }


@pytest.mark.parametrize("change", list(changed_tables()))
def test_data_that_changed_are_refused_by_name_and_nothing_is_touched(aged, tmp_path, change):
    values, words = changed_tables()[change]
    run = cut(aged(), tmp_path / "run", 3)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    table(tmp_path / "t.npz", **values)
    if words is None:  # what is read is the same to the last bit
        assert Federation.resume(run).record.data_digest == "same"
        return
    with pytest.raises(RunFolderError) as caught:
        Federation.resume(run)
    assert words in str(caught.value)
    assert f"--start-from {run} --out NEW" in str(caught.value)
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert after == before


def test_only_the_player_whose_rows_changed_is_named(aged, tmp_path):
    config = aged(
        data={
            "source": {"name": "npz", "file": str(tmp_path / "t.npz")},
            "partition": {"name": "by_class", "classes": {"north": [0], "south": [1]}},
        }
    )
    run = cut(config, tmp_path / "run", 2)
    ages = table(tmp_path / "t.npz")["train/age"]
    ages[0] += 1  # of class 0
    table(tmp_path / "t.npz", **{"train/age": ages})
    with pytest.raises(RunFolderError, match=r"^the data of player 'north' changed since"):
        Federation.resume(run)


def test_the_same_data_are_recorded_as_the_same_and_no_digest_of_rows_is_in_a_record(
    aged, tmp_path
):
    run = cut(aged(), tmp_path / "run", 3)
    folder = run / GAME / "checkpoints" / "round-000003" / "players"
    private = [folder / f"{name}.json" for name in ("north", "south")]
    private.append(run / "private" / "data.json")
    secrets = set()
    for path in private:
        values = json.loads(path.read_text())
        secrets |= {values[key] for key in ("data", "train", "test") if key in values}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(secrets) == 4
    result = Federation.resume(run)
    assert result.record.data_digest == "same"
    for path in run.rglob("*"):
        if path.is_file() and path not in private:
            assert not [secret for secret in secrets if secret.encode() in path.read_bytes()]


def test_before_the_first_checkpoint_a_run_begins_anew_with_the_data_of_now(
    aged, tmp_path, monkeypatch
):
    monkeypatch.setattr("coplay.metrics.features._STEPS", (20, 20))  # it need not judge well here
    measure = {"metrics": ["class_shares"], "samples": 100, "shown": 3, "every_rounds": 1}
    config = aged(checkpoint={"every_rounds": 4}, measure=measure)
    run = cut(config, tmp_path / "run", 2)
    before = Result.load(run).record
    (changed, _) = changed_tables()["fewer rows"]
    table(tmp_path / "t.npz", **changed)
    resumed = Federation.resume(run)
    fresh = Federation(config).run(tmp_path / "fresh")
    assert resumed.record.data_digest == "changed"
    assert sum(before.data.sizes.values()) == 100
    assert sum(resumed.record.data.sizes.values()) == 37
    assert resumed.record.data == fresh.record.data
    assert resumed.record.games == fresh.record.games
    assert resumed.record.classifier == fresh.record.classifier
    assert resumed.record.files == fresh.record.files
    assert "the run began anew" in resumed.record.notes[-1]
    assert models(run) == models(fresh.folder)
    assert resumed.main.last == fresh.main.last


def models(run):
    return {path.name: path.read_bytes() for path in run.glob("*/models/*")}


def test_a_deleted_file_of_data_is_named_and_a_finished_run_needs_none(aged, tmp_path):
    run = cut(aged(), tmp_path / "run", 3)
    (tmp_path / "t.npz").unlink()
    with pytest.raises(CoplayError, match=r"t\.npz"):
        Federation.resume(run)
    table(tmp_path / "t.npz")
    Federation.resume(run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    (tmp_path / "t.npz").unlink()
    assert Federation.resume(run).record.status == "finished"
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_the_digests_of_the_data_cannot_be_left_out(aged, tmp_path):
    run = cut(aged(), tmp_path / "run", 2)
    note = run / GAME / "checkpoints" / "round-000002" / "players" / "south.json"
    whole = note.read_bytes()
    note.unlink()
    with pytest.raises(CoplayError, match=r"south\.json was deleted"):
        Federation.resume(run)
    note.write_bytes(whole)
    (run / "private" / "data.json").unlink()
    with pytest.raises(CoplayError, match=r"data\.json was deleted.*--start-from"):
        Federation.resume(run)


def test_the_classifier_of_another_run_is_taken_only_for_the_same_data(aged, tmp_path, monkeypatch):
    monkeypatch.setattr("coplay.metrics.features._STEPS", (20, 20))
    trained = []
    fit = DomainClassifier.fit

    def counted(self, *given):
        trained.append(1)
        fit(self, *given)

    monkeypatch.setattr(DomainClassifier, "fit", counted)
    config = aged(measure={"metrics": ["class_shares"], "samples": 100, "shown": 3})
    first = Federation(config).run(tmp_path / "first")
    file = first.folder / "classifier.safetensors"
    Federation(config).run(tmp_path / "second", classifier=file)
    assert len(trained) == 1
    (changed, _) = changed_tables()["another order"]
    table(tmp_path / "t.npz", **changed)
    third = Federation(config).run(tmp_path / "third", classifier=file)
    assert len(trained) == 2
    assert third.record.files != first.record.files


# ------------------------------------------------------------------------------- --start-from


def test_a_new_run_begins_with_models_and_optimizers_and_new_data(aged, tmp_path):
    """With no steps to learn, what a run ends with is what it began with."""
    model = {"name": "symmetric_hvae", "hidden": 8, "batch": 8}
    source = {"source": "digits"}
    game = {"name": GAME, "rounds": 2, "local_steps": 3, "samples_per_round": 20}
    config = aged(model=model, data=source, game=game)
    first = Federation(config).run(tmp_path / "first")
    begun = cut(config, tmp_path / "second", 0, start_from=first.folder)
    file = checkpoints.player_file(begun / GAME, 0, "north")
    mine = storage.load_tensors(file)
    theirs = storage.load_tensors(first.folder / GAME / "models" / "north.safetensors")
    assert [name for name in theirs if "adam" in name.lower() or "exp_avg" in name]
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    second = Federation.resume(begun)
    origin = second.record.started_from
    assert (origin.data, origin.rounds) == ("same", {GAME: 2})
    assert len(second.main.rows) == 2
    again = Federation(config).run(tmp_path / "third", start_from=first.folder)
    assert models(again.folder) == models(second.folder) != models(first.folder)


def test_start_from_says_that_data_changed(aged, tmp_path, capsys):
    config = aged()
    run = cut(config, tmp_path / "run", 3)
    (changed, _) = changed_tables()["fewer rows"]
    table(tmp_path / "t.npz", **changed)
    assert cli.main(["resume", str(run)]) == 2
    command = re.search(r"'coplay (run .* --out) NEW'", capsys.readouterr().err)
    new = tmp_path / "new"
    assert cli.main([*command.group(1).split(), str(new)]) == 0
    record = Result.load(new).record
    assert record.started_from.data == "changed"
    assert record.started_from.rounds == {GAME: 3}
    assert sum(record.data.sizes.values()) == 37
    assert load_player(new, "north").draw(5, 0, "test").batch_size[0] == 5
    assert Result.load(run).record.status == "failed", "the old run is left as it was"


def test_start_from_refuses_what_does_not_fit(aged, tmp_path):
    first = Federation(aged()).run(tmp_path / "first").folder
    more = {"players": {"north": {}, "south": {}, "east": {}}}
    for sections, words in (
        (more, "no model of player 'east'"),
        ({"compare": ["isolated"]}, "it has no game 'isolated'"),
        ({"data": {"source": "digits"}}, "player 'north' learned age, half there"),
    ):
        with pytest.raises(RunFolderError, match=words):
            Federation(aged(**sections)).run(tmp_path / "new", start_from=first)
        assert not (tmp_path / "new").exists()
    with pytest.raises(RunFolderError, match="there is no run of coplay"):
        Federation(aged()).run(tmp_path / "new", start_from=tmp_path)
    model = first / GAME / "models" / "south.safetensors"
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    with pytest.raises(CoplayError, match=r"south\.safetensors is damaged"):
        Federation(aged()).run(tmp_path / "new", start_from=first)


def test_a_digest_sees_every_value_type_and_shape_and_takes_no_data_at_all():
    space = Space({"x": Variable(kind="real", shape=(2,)), "k": Variable(kind="count")})
    x = torch.tensor([[0.5, 1.0], [2.0, 3.0]])
    k = torch.tensor([1, 2])
    digest = digests.of_samples(space, space.samples(x=x, k=k))
    assert digest == digests.of_samples(space, space.samples(k=k.clone(), x=x.clone()))
    others = [
        space.samples(x=x.flip(0), k=k),
        space.samples(x=x.flip(1), k=k),
        space.samples(x=x.double(), k=k),
        space.samples(x=x, k=torch.tensor([1, 3])),
        space.samples(x=x, k=k)[:1],
        space.samples(x=x),
        space.empty(),
        space.only(["k"]).samples(k=k[1:])[:0],
    ]
    assert len({digest, *(digests.of_samples(space, other) for other in others)}) == 9
    turned = space.samples(x=x.T.contiguous().T, k=k)  # the same values, laid out otherwise
    assert digests.of_samples(space, turned) == digest

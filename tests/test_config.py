"""TOML to tree and back; all errors at once."""

import pytest

from coplay import Config
from coplay.core.errors import ConfigError
from coplay.run.differences import differences
from coplay.run.site_file import SiteFile

FULL = """
seed = 7
compare = ["isolated"]
[players.a]
model = { name = "sklearn.mixture:GaussianMixture", n_components = 3 }
[players.b]
model = "exponential_family"
[data]
source = { name = "digits", grey = true }
[data.partition]
name = "by_class"
classes = { a = [0, 1], b = [2] }
[game]
name = "sample_exchange"
alpha = [[0.5, 0.5], [0.25, 0.75]]
rounds = 3
"""


def test_round_trip_is_exact():
    config = Config.from_toml(FULL)
    again = Config.from_toml(config.to_toml())
    assert again == config
    assert again.to_toml() == config.to_toml()
    assert config.game.alpha == ((0.5, 0.5), (0.25, 0.75))
    assert config.player_model("a").arguments == {"n_components": 3}
    assert config.to_dict()["players"]["a"]["model"]["name"] == "sklearn.mixture:GaussianMixture"


def test_a_config_is_frozen():
    config = Config.from_toml(FULL)
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 8
    with pytest.raises(ValueError, match="frozen"):
        config.game.rounds = 8


def test_set_changes_nested_values_and_reads_them_as_toml():
    config = Config.from_toml(
        FULL,
        [
            "game.rounds=9",
            "seed=8",
            "title=plain words",
            "players.b.model.em_steps=2",
            "measure.metrics=[]",
        ],
    )
    assert (config.game.rounds, config.seed, config.title, config.measure.metrics) == (
        9,
        8,
        "plain words",
        (),
    )
    assert config.players["b"].model.em_steps == 2


def test_all_errors_at_once_with_the_nearest_known_name_first():
    text = (
        FULL.replace("rounds", "ronds")
        .replace("seed = 7", 'seed = "x"')
        .replace('"exponential_family"', '"exponential"')
    )
    text = (
        text.replace('compare = ["isolated"]', 'compare = ["isolate"]') + "[measure]\nsampels = 3\n"
    )
    with pytest.raises(ConfigError) as caught:
        Config.from_toml(text)
    problems = caught.value.problems
    assert any(
        p.startswith("game.ronds: unknown key; known, nearest first: rounds,") for p in problems
    )
    assert any(
        p.startswith("seed: input should be a valid integer") and p.endswith("got 'x'")
        for p in problems
    )
    expected = (
        "players.b.model: unknown model 'exponential'; known, nearest first: exponential_family"
    )
    assert any(expected in p for p in problems), problems
    assert any("measure.sampels: unknown key; known, nearest first: samples" in p for p in problems)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("players = 0", "expected at least one"),
        ('name = "a/b"', "letters, digits"),
        ('compare = ["sample_exchange"]', "the game itself"),
        ('compare = ["pooledd"]', "nearest first: pooled"),
        ("[players.coordinator]", "other than 'coordinator'"),
        ("[game]\nrounds = 3", "expected a game section with a name"),
        ('[game]\nname = "sample_exchange"\nown_weight = 1.5', "less than or equal to 1, got 1.5"),
        (
            '[game]\nname = "sample_exchange"\nown_weight = 0.5\nalpha = [[1.0]]',
            "give either alpha or own_weight",
        ),
        ('[model]\nname = "json:JSONDecoder"', "any class with fit and sample"),
        ('[model]\nname = "no_such_module:Model"', "cannot import the model"),
        ("players = ", "no valid TOML"),
    ],
)
def test_each_fault_has_its_message(line, message):
    with pytest.raises(ConfigError, match=message):
        Config.from_toml(line)


def test_braces_in_a_value_come_back_as_they_were():
    with pytest.raises(ConfigError, match=r"unknown source '\{name=idx\}'"):
        Config.from_toml(FULL, ["data.source={name=idx}"])


def test_wrong_overrides_are_explained():
    for override in ("rounds", "=3", "a..b=3"):
        with pytest.raises(ConfigError, match=r"expected key.path=value"):
            Config.from_toml(FULL, [override])
    with pytest.raises(ConfigError, match="seed is a value, not a section"):
        Config.from_toml(FULL, ["seed.x=3"])


def test_player_counts_become_names_that_sort():
    assert Config.from_toml("players = 11").player_names[:2] == ["player00", "player01"]


def test_differences_name_what_changed():
    a, b = Config.from_toml(FULL), Config.from_toml(FULL, ["game.rounds=4"])
    assert list(differences(a.to_dict(), b.to_dict())) == ["game.rounds: was 3, is 4"]


def test_every_shipped_config_is_valid():
    from pathlib import Path

    root = Path(__file__).parents[1]
    files = [*root.glob("configs/**/*.toml"), *root.glob("reproductions/*/*.toml")]
    assert files
    for path in files:
        if "\nfederation = " in path.read_text():
            SiteFile.from_file(path)
        else:
            Config.from_file(path)


def test_the_file_of_a_site_is_no_config():
    from pathlib import Path

    path = Path(__file__).parents[1] / "configs" / "hospitals" / "north.toml"
    with pytest.raises(ConfigError) as error:
        Config.from_file(path)
    assert error.value.problems == [
        f"{path} is the file of one site; a simulation plays the file of its federation: "
        f"coplay run FEDERATION --site north={path}"
    ]

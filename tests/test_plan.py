"""``coplay plan`` and ``coplay design``, as a newcomer types them, and what they say of faults."""

import json
import tomllib

import numpy as np
import pytest
import torch

from coplay import Config
from coplay.cli.main import main
from coplay.core.errors import EquilibriumError
from coplay.run.plan_lines import lines_of_plan
from coplay.run.planning import _band_of_one, plan_of
from coplay.run.preparing import prepare
from coplay.run.rewriting import with_alpha
from coplay.theory import bands
from coplay.theory.equilibrium import influence_matrix
from coplay.theory.keeping import own_weights_for
from coplay.theory.weights import by_edges

CLINICS = """\
# Three clinics; what they agreed on.
players = 3 # north, south, clinic would be names

[game] # the game
name = "sample_exchange"
own_weight = 0.5 # half of its own
topology = "complete"
rounds = 6 # few
samples_per_round = 500

[measure]
metrics = [] # nothing is scored
"""

NAMED = """\
[data]
source = { name = "digits" }
[data.partition]
name = "by_class"
classes = { north = [0, 1, 2, 3], south = [3, 4, 5, 6], clinic = [7, 8, 9] }
[players.north]
[players.south]
[players.clinic]
[model]
name = "exponential_family"
[game]
name = "sample_exchange"
own_weight = 0.5
rounds = 6
samples_per_round = 500
"""

ALPHA = """\
alpha = [
  [0.5, 0.2, 0.3],
  [0.4, 0.5, 0.1],
  [0.2, 0.3, 0.5],
]"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "clinics.toml"
    path.write_text(NAMED)
    return path


def run(capsys, *arguments, code=0):
    assert main([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


class TestPlan:
    def test_every_line_says_what_to_do(self, config, capsys):
        lines = run(capsys, "plan", config).splitlines()
        assert lines[0] == "a cooperative game: 3 players, 500 samples a round"
        assert len(lines) >= 9
        assert all(len(line.split(" -> ")) == 2 for line in lines[1:])
        assert all(line.split(" -> ")[1] for line in lines[1:])

    def test_its_numbers_are_those_of_theory(self, config):
        parsed = Config.from_file(config)
        prepared = prepare(parsed)
        plan = plan_of(parsed, prepared)
        alpha = torch.full((3, 3), 0.25, dtype=torch.float64).fill_diagonal_(0.5)
        influence = influence_matrix(alpha)
        assert plan.influence == influence.tolist()
        assert plan.rounds_needed == 7  # 0.5^7 < 0.01
        assert plan.before == 1
        assert plan.shares_known
        shares = torch.stack(list(prepared.games[0].seats.shares.values())).double()
        widest = 1.96 * bands.share_deviations(alpha, shares, 500).amax(1)
        for i, each in enumerate(plan.players):
            assert each.keeps == pytest.approx(influence[i, i].item())
            assert each.contribution == pytest.approx(influence[:, i].mean().item())
            assert each.echo_of_all == pytest.approx(2)
            assert each.band == pytest.approx(widest[i].item(), rel=1e-4)
        # 8×8 binary pixels, a byte each; a quarter of 500 samples over six links
        assert plan.traffic.largest_link == 125 * 64
        assert plan.traffic.all_links == 6 * 125 * 64
        says = str(lines_of_plan(plan)[1])
        assert "set game.rounds = 8" in says

    def test_samples_cost_what_their_senders_variables_cost(self, config):
        """North sends images of 64 bytes with classes of 8, the others classes alone."""
        text = NAMED.replace("[players.south]", '[players.south]\nvariables = ["class"]')
        text = text.replace("[players.clinic]", '[players.clinic]\nvariables = ["class"]')
        text = text.replace("own_weight = 0.5", ALPHA)
        text = text.replace("[data.partition]", 'variables = ["image", "class"]\n[data.partition]')
        north = '[players.north]\nmodel = { name = "joint_classifier" }'
        config.write_text(text.replace("[players.north]", north))
        parsed = Config.from_file(config)
        traffic = plan_of(parsed, prepare(parsed)).traffic
        # of 500 samples: south receives 0.4 from north, clinic 0.2; the rest are classes alone
        assert traffic.largest_link == pytest.approx(500 * 0.4 * 72)
        assert traffic.all_links == pytest.approx(500 * (0.6 * 72 + (0.5 + 0.1 + 0.3) * 8))

    def test_samples_that_are_used_again_need_more_rounds(self, config):
        config.write_text(NAMED.replace("rounds = 6", "rounds = 6\nfresh_every_rounds = 3"))
        assert plan_of(Config.from_file(config)).rounds_needed == 21

    def test_json_has_all_numbers_and_the_lines(self, config, capsys):
        values = json.loads(run(capsys, "plan", config, "--json"))
        assert [each["name"] for each in values["players"]] == ["north", "south", "clinic"]
        assert np.allclose(np.sum(values["influence"], 1), 1)
        assert all(set(line) == {"says", "do"} for line in values["lines"])

    def test_without_data_what_follows_from_data_is_left_out(self, tmp_path, capsys):
        path = tmp_path / "weights.toml"
        path.write_text(CLINICS)
        text = run(capsys, "plan", path, "--no-data")
        assert "left out: no data were read" in text
        assert "traffic" not in text
        assert "any class (at most)" in text

    def test_where_data_are_not_here_the_weights_still_say_what_they_say(self, config, capsys):
        config.write_text(NAMED.replace('{ name = "digits" }', '{ name = "npz", file = "no.npz" }'))
        text = run(capsys, "plan", config)
        assert "echo: a fault that all models add" in text
        assert "left out: no data were read, so bytes, class shares, the error of" in text
        assert "no.npz" in text
        assert "-> mend that" in text

    def test_many_players_make_no_dense_matrix(self, tmp_path, capsys):
        path = tmp_path / "many.toml"
        path.write_text(
            'players = 5000\n[game]\nname = "sample_exchange"\ntopology = "ring"\nown_weight = 0.2'
        )
        text = run(capsys, "plan", path, "--player", "player0017")
        assert "a dense matrix of 5,000² numbers, which is made for up to 512 players" in text
        assert "player0017: own weight 0.2, keeps 33.3% of its own data, echo 1.67" in text
        assert "5 times as large at rest" in text

    def test_tiny_own_weights_end_and_no_band_is_wider_than_all_shares(self, tmp_path, capsys):
        path = tmp_path / "few.toml"
        path.write_text(CLINICS.replace("own_weight = 0.5", "own_weight = 1e-12"))
        plan = plan_of(Config.from_file(path))
        assert [each.band for each in plan.players] == [1.0, 1.0, 1.0]
        ring = by_edges(torch.tensor([[1e-9, 1 - 1e-9, 0], [0, 1e-9, 1 - 1e-9], [1, 0, 0]]))
        half = np.full((3, 1), 0.5)
        with pytest.raises(EquilibriumError, match="after 100,000 rounds"):
            bands.deviations_of(ring, 0, half, 500)
        assert _band_of_one(ring, 0, half, 500) is None

    def test_one_player_alone_is_not_called_unheard(self, tmp_path, capsys):
        path = tmp_path / "one.toml"
        path.write_text(CLINICS.replace("players = 3", "players = 1"))
        assert "heard by nobody:" not in run(capsys, "plan", path)

    def test_whom_nobody_hears_and_who_hears_nobody(self, config, capsys):
        rows = "[[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]"
        keys = "name = 'sample_exchange'\nrounds = 6\nsamples_per_round = 500\n"
        config.write_text(NAMED.split("[game]")[0] + f"[game]\n{keys}alpha = {rows}\n")
        text = run(capsys, "plan", config)
        assert "heard by nobody: 'clinic'" in text
        assert "it learns from its own data alone" in text

    def test_check_ends_with_the_same_lines(self, config, capsys):
        checked = run(capsys, "check", config).splitlines()
        planned = run(capsys, "plan", config).splitlines()
        for start in ("equilibrium:", "rounds to 1 %:", "band:", "echo:"):
            line = next(line for line in planned if line.startswith(start))
            assert line in checked[-7:]

    def test_variables_that_only_some_have_are_mixed_of_those(self, tmp_path):
        parsed = Config.from_file("configs/hospitals/federation.toml")
        plan = plan_of(parsed, prepare(parsed))
        by_names = {tuple(each.variables): each for each in plan.by_variable}
        lacking = by_names[("mean concavity",)]
        assert list(lacking.observed_by) == ["north", "south"]
        # one half of own data, a quarter from each of the others; east has none of its own
        w = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.5, 0.5, 0]])
        own = np.diag([0.5, 0.5, 0])
        expected = np.linalg.solve(np.eye(3) - (w - own), own)
        assert np.allclose(lacking.influence, expected)

    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            ("game.own_weight=0", "no path of positive weights leads from 'north', 'south'"),
            ("game={name='isolated'}", "not of those of 'isolated'"),
            ("game={name='sample_exchange', alpha=[[1,0,0],[0,0,1],[0,1,0]]}", "from 'south', 'cl"),
            ("game={name='sample_exchange', alpha=[[1,0,0],[0,0.7,0.2],[0,0,1]]}", "sums to 0.9"),
        ],
    )
    def test_weights_that_lead_nowhere(self, config, capsys, change, fault):
        assert fault in run(capsys, "plan", config, "--set", change, code=2)

    def test_an_unknown_player(self, config, capsys):
        said = run(capsys, "plan", config, "--player", "wset", code=2)
        assert "--player wset: no player is called so" in said


class TestDesign:
    def test_a_clinic_keeps_a_third_of_its_own(self, config, capsys):
        text = run(capsys, "design", config, "--keep", "clinic=1/3", "--write")
        assert "clinic ends with: north 33.3%, south 33.3%, clinic 33.3%" in text
        assert "this is what was wanted" in text
        after = Config.from_file(config)
        influence = influence_matrix(after.game.weights(after.player_names))
        assert influence[2, 2].item() == pytest.approx(1 / 3, abs=1e-10)
        present = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
        assert torch.allclose(after.game.weights(after.player_names)[0], present)
        assert prepare(after)

    def test_a_file_of_windows_stays_one(self, config, capsys):
        config.write_bytes(NAMED.replace("\n", "\r\n").encode())
        run(capsys, "design", config, "--keep", "clinic=1/3", "--write")
        written = config.read_bytes()
        assert b"alpha = [\r\n" in written
        assert written.count(b"\n") == written.count(b"\r\n") == NAMED.count("\n") + 4
        assert Config.from_file(config)

    def test_all_keep_the_same_or_each_its_own(self, config, capsys):
        for options, wanted in [
            (["--keep", "0.4"], [0.4] * 3),
            (["--keep", "0.5", "--keep", "south=0.9"], [0.5, 0.9, 0.5]),
            (["--keep", "45%", "--keep", "clinic=3/5"], [0.45, 0.45, 0.6]),
        ]:
            values = json.loads(run(capsys, "design", config, *options, "--json"))
            reached = np.array(values["reached"])
            assert reached.diagonal() == pytest.approx(wanted, abs=1e-9)
            alpha = np.array(values["alpha"])
            assert np.allclose(influence_matrix(torch.tensor(alpha)).numpy(), reached)

    def test_too_little_of_ones_own_for_all_says_how_far_it_is(self, config, capsys):
        text = run(capsys, "design", config, "--keep", "0.2")
        assert "no weights reach what was wanted: the largest difference is 0.1" in text
        assert "nearer: a smaller --least-own" in text

    def test_own_weights_go_down_to_the_least_one(self):
        even = torch.full((2, 2), 0.5)
        alpha = own_weights_for(even, {0: 0.3, 1: 0.3}, least_own=0.05)
        assert alpha.diag().tolist() == pytest.approx([0.05, 0.05])
        assert alpha.sum(1).tolist() == pytest.approx([1, 1])

    def test_a_common_mixture(self, config, capsys):
        options = ["--share", "0.2", "--common", "north=0.5", "--common", "clinic=0.5", "--json"]
        values = json.loads(run(capsys, "design", config, *options))
        assert values["reached"][0] == pytest.approx([0.6, 0, 0.4], abs=1e-9)
        assert values["reached"][1] == pytest.approx([0.4, 0.2, 0.4], abs=1e-9)

    def test_a_share_may_be_written_in_every_way_a_share_to_keep_may(self, config, capsys):
        reached = []
        for share in ("0.25", "1/4", "25%"):
            text = run(capsys, "design", config, "--share", share, "--json")
            reached.append(json.loads(text)["reached"])
        assert reached[0] == reached[1] == reached[2]
        assert np.diag(reached[0]) == pytest.approx([0.5] * 3)
        for share in ("a third", "1/0"):
            with pytest.raises(SystemExit):
                main(["design", str(config), "--share", share])
            fault = f"argument --share: expected a share such as 0.33, 1/3 or 33%, got '{share}'"
            assert fault in capsys.readouterr().err

    def test_a_table_of_targets_and_links(self, config, tmp_path, capsys):
        alpha = torch.tensor([[0.6, 0.4, 0], [0.1, 0.7, 0.2], [0, 0.5, 0.5]], dtype=torch.float64)
        names = ["north", "south", "clinic"]
        rows = []
        for name, row in zip(names, influence_matrix(alpha).tolist(), strict=True):
            shares = ", ".join(f"{n} = {v!r}" for n, v in zip(names, row, strict=True))
            rows.append(f"{name} = {{ {shares} }}")
        table = tmp_path / "targets.toml"
        links = '[links]\nnorth = ["south"]\nclinic = ["south"]\n'
        table.write_text("least_own = 0.05\n[mixtures]\n" + "\n".join(rows) + "\n" + links)
        values = json.loads(run(capsys, "design", config, "--target", table, "--json"))
        assert np.allclose(values["alpha"], alpha, atol=1e-10)
        table.write_text("[mixtures]\n" + "\n".join(rows) + '\n[links]\nsouth = ["north"]\n')
        values = json.loads(run(capsys, "design", config, "--target", table, "--json"))
        assert values["alpha"][1][2] == 0, "a link that is not allowed"
        assert values["optimality"] < 1e-6
        assert values["largest_miss"] > 0.01

    def test_lines_to_paste_where_nothing_is_written(self, config, capsys):
        before = config.read_text()
        text = run(capsys, "design", config, "--keep", "clinic=0.5")
        assert config.read_text() == before
        pasted = text.split("(--write does it):\n")[1]
        rows = tomllib.loads(pasted)["alpha"]
        assert np.allclose(np.sum(rows, 1), 1)

    @pytest.mark.parametrize(
        ("options", "fault"),
        [
            (["--keep", "clinc=0.3"], "there is no site 'clinc'; known, nearest first: clinic"),
            (["--keep", "clinic=0"], "keep.clinic: expected a share above 0 and at most 1, got 0"),
            (["--keep", "clinic=1.2"], "at most 1, got 1.2"),
            (["--keep", "clinic=x"], "--keep clinic=x: expected NAME=SHARE"),
            (["--share", "0.3", "--common", "north=0.6"], "common: expected shares that sum to 1"),
            (["--common", "north=1"], "--common: goes with --share"),
            (
                ["--share", "0.3", "--common", "north=1.5", "--common", "south=-0.5"],
                "got a sum of 1, the least -0.5",
            ),
            (
                ["--keep", "clinic=0.3", "--keep", "clinic=0.5"],
                "--keep clinic=0.5: there is another share for 'clinic'; give one",
            ),
            ([], "nothing is wished for"),
            (["--keep", "0.5", "--share", "0.2"], "expected one kind of wish"),
            (
                ["--share", "0.5", "--least-own", "0"],
                "with own weight 0 a site's data reach nobody",
            ),
        ],
    )
    def test_wishes_that_are_none(self, config, capsys, options, fault):
        assert fault in run(capsys, "design", config, *options, code=2)

    @pytest.mark.parametrize(
        ("table", "fault"),
        [
            (
                "[mixtures]\nnorth = { north = 0.6, south = 0.6 }",
                "mixtures.north sums to 1.2, expec",
            ),
            ("[mixtures]\nwest = { west = 1.0 }", "mixtures.west: there is no site 'west'"),
            (
                "[mixtures]\nnorth = { weast = 1.0 }",
                "mixtures.north.weast: there is no site 'weast'",
            ),
            ("[mixtures]\nnorth = 0.5", "expected a table of shares for each site"),
            ("[mixture]\nnorth = {}", "mixture: expected one of mixtures, keep, share"),
            ("least_own = true\n[keep]\nnorth = 0.5", "least_own: expected a number"),
            ("[keep]\nnorth = 0.5\n[links]\nnorth = 'south'", "links: expected a list of sites"),
            ("[keep]\nnorth = 0.5\n[links]\nnorth = ['south']", "links: go with mixtures or share"),
            ("[keep]\nnorth = 0.5\n[common]\nnorth = 1.0", "common: goes with share"),
            ("", "is empty"),
            ("[mixtures", "cannot read"),
        ],
    )
    def test_a_table_that_is_none(self, config, tmp_path, capsys, table, fault):
        path = tmp_path / "targets.toml"
        path.write_text(table)
        assert fault in run(capsys, "design", config, "--target", path, code=2)

    def test_a_table_that_is_not_there(self, config, capsys):
        said = run(capsys, "design", config, "--target", "no.toml", code=2)
        assert "no.toml does not exist" in said


class TestRewriting:
    ALPHA = torch.tensor([[0.5, 0.5], [0.0, 1.0]])

    def test_all_else_stays_comments_included(self):
        text = CLINICS.replace("players = 3 ", "players = 2 ")
        changed = with_alpha(text, self.ALPHA, ["a", "b"])
        rows = "alpha = [\n  [0.5, 0.5], # a\n  [0.0, 1.0], # b\n]\n"
        expected = text.replace("own_weight = 0.5 # half of its own\n", rows)
        assert changed == expected.replace('topology = "complete"\n', "")

    def test_weights_over_several_lines_are_replaced(self):
        head = "[game]\nalpha = [ # old\n  [1, 0],\n  [0, 1],\n]\n"
        text = head + "rounds = 3\n\n[measure]\nsamples = 100\n"
        changed = with_alpha(text, self.ALPHA, ["a", "b"])
        assert tomllib.loads(changed)["game"] == {"alpha": [[0.5, 0.5], [0.0, 1.0]], "rounds": 3}
        assert "# old" not in changed
        assert changed.endswith("]\nrounds = 3\n\n[measure]\nsamples = 100\n")

    def test_ends_of_lines_stay_as_they_are_in_windows(self):
        text = CLINICS.replace("players = 3 ", "players = 2 ")
        expected = with_alpha(text, self.ALPHA, ["a", "b"]).replace("\n", "\r\n")
        assert with_alpha(text.replace("\n", "\r\n"), self.ALPHA, ["a", "b"]) == expected
        lines = "[game]\r\nalpha = [ # old\r\n  [1, 0],\r\n  [0, 1],\r\n]\r\nrounds = 3"
        changed = with_alpha(lines, self.ALPHA, ["a", "b"])
        assert changed.count("\n") == changed.count("\r\n") == 6
        assert tomllib.loads(changed)["game"] == {"alpha": [[0.5, 0.5], [0.0, 1.0]], "rounds": 3}

    def test_a_line_separator_in_a_comment_ends_no_line(self):
        text = "[game] # of\u2028two\nown_weight = 0.5\n"
        assert with_alpha(text, self.ALPHA, ["a", "b"]).startswith("[game] # of\u2028two\nalpha")

    @pytest.mark.parametrize(
        ("head", "own"),
        [
            ("[ game ] # rules", "own_weight"),
            ("[game]", '"own_weight"'),
            ("[game]", "'own_weight'"),
        ],
    )
    def test_heads_and_keys_may_be_written_in_other_ways(self, head, own):
        changed = with_alpha(f"{head}\n{own} = 0.5\nrounds = 3\n", self.ALPHA, ["a", "b"])
        assert changed.startswith(head)
        assert tomllib.loads(changed)["game"] == {"alpha": [[0.5, 0.5], [0.0, 1.0]], "rounds": 3}

    @pytest.mark.parametrize(
        "text",
        [
            '[game]\n"own\\u005fweight" = 0.5\n',
            'game = { name = "sample_exchange" }\n',
            'game.name = "sample_exchange"\n',
            'note = """\n[game]\n"""\n',
            "players = 2\n",
        ],
    )
    def test_a_game_that_is_no_section_is_left_alone(self, text):
        assert with_alpha(text, self.ALPHA, ["a", "b"]) is None

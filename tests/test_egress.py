"""What left a site: the record is on disk first, and shows when it is damaged or rolled back."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import resource
import stat
import sys
from dataclasses import replace

import pytest

from coplay.core.codec import reply_from_bytes, reply_to_bytes
from coplay.core.digests import of_values
from coplay.core.errors import EgressError, MessageError
from coplay.core.message import COORDINATOR, Head, Message, PlayerLost
from coplay.core.requests import Evaluate
from coplay.engines.gate import checked_reply
from coplay.engines.heads import Heads
from coplay.site import egress
from coplay.site.egress import FIRST, Egress, Line, Record

from .power import Disk, PowerCut
from .sites_for_borders import lines_of

# ------------------------------------------------------------------------------- the file by itself


def written(path, count=3):
    writer = Egress(path)
    for number in range(count):
        writer.write(Line(egress.REPLY, round=number + 1, to="south", request="turn"))
    return writer


def test_a_record_is_a_chain_that_its_owner_alone_can_read(tmp_path):
    writer = written(tmp_path / "a" / "egress.jsonl")
    assert stat.S_IMODE(writer.path.stat().st_mode) == 0o600
    lines = lines_of(writer.path)
    assert [line["number"] for line in lines] == [1, 2, 3]
    before = FIRST
    for line in lines:
        digest = line.pop("digest")
        assert line["before"] == before
        # the formula of the documentation: SHA-256 of the other entries as sorted JSON
        plain = json.dumps(line, sort_keys=True).encode()
        assert digest == hashlib.sha256(plain).hexdigest() == of_values(line)
        before = digest
    assert Record.read(writer.path).head == Head(3, before)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda t: t[1].replace('"round": 2', '"round": 3'), "line 2: its digest is not that"),
        (lambda t: t[1].replace('"what": "reply", ', ""), "line 2: it is no line of a record"),
        (lambda t: t[1].replace(", ", ",", 1), "line 2: its digest is not that"),
        (lambda t: "", "line 2: it has the number 3: lines are missing or out of order"),
        (lambda t: t[2] + t[1], "line 2: it has the number 3: lines are missing or out of order"),
        (lambda t: t[1] + t[1], "line 3: it has the number 2: lines are missing or out of order"),
        (lambda t: "\n", "line 2: it is no line of a record"),
        (lambda t: "[1]\n", "line 2: it is no line of a record"),
        (lambda t: "\N{SNOWMAN}" + t[1], "line 2: it is no text"),
    ],
)
def test_a_line_that_is_changed_taken_out_or_moved_is_named(tmp_path, change, fault):
    path = written(tmp_path / "egress.jsonl").path
    texts = path.read_text().splitlines(keepends=True)
    changed = change(texts)
    rest = "" if changed.startswith(texts[2]) else texts[2]
    path.write_text(texts[0] + changed + rest)
    damaged = Record.read(path)
    assert damaged.fault.startswith(fault)
    with pytest.raises(EgressError, match="nothing leaves the site until"):
        Egress(path)


def test_a_forged_line_with_a_right_digest_of_its_own_breaks_the_chain_after_it(tmp_path):
    path = written(tmp_path / "egress.jsonl").path
    first, second, third = path.read_text().splitlines()
    forged = replace(Line.from_text(second), to="east").sealed()
    path.write_text(f"{first}\n{forged.text_of_line()}{third}\n")
    assert Record.read(path).fault == "line 3: it follows another line than the one before it"


def test_every_prefix_of_a_record_is_whole_or_torn_and_a_torn_line_is_mended(tmp_path):
    """Whatever a kill leaves: the lines before stay, the rest is cut off and noted."""
    whole = written(tmp_path / "egress.jsonl").path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == 10]
    for cut in [*range(0, len(whole), 37), *ends, *(end - 1 for end in ends)]:
        path = tmp_path / f"{cut}.jsonl"
        path.write_bytes(whole[:cut])
        complete = sum(end <= cut for end in ends)
        left = Record.read(path)
        assert (len(left.lines), left.fault) == (complete, "")
        is_torn = cut not in (0, *ends)
        assert bool(left.torn) == is_torn
        writer = Egress(path)
        head = writer.write(Line(egress.REPLY, round=9))
        mended = Record.read(path)
        assert (mended.fault, mended.torn, mended.head) == ("", 0, head)
        assert len(mended.lines) == complete + is_torn + 1
        if is_torn:
            assert mended.lines[complete].what == egress.MENDED
            assert mended.lines[complete].text.startswith(f"{left.torn} bytes of a line")


def test_a_record_that_something_else_changed_meanwhile_lets_nothing_leave(tmp_path):
    writer = written(tmp_path / "egress.jsonl")
    whole = writer.path.read_bytes()
    writer.path.write_bytes(whole[: whole.rindex(b"{")])
    with pytest.raises(EgressError, match="was changed by something else"):
        writer.write(Line(egress.REPLY))
    writer.path.unlink()
    with pytest.raises(EgressError, match="was changed by something else"):
        writer.write(Line(egress.REPLY))


def test_a_full_disk_leaves_the_record_as_it_was(tmp_path):
    """The limit is the system's own, on the size of a file; the line before it stays whole."""
    writer = written(tmp_path / "egress.jsonl")
    before = writer.path.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limit[1]))
    try:
        with pytest.raises(EgressError, match="cannot be written, so nothing leaves: File too"):
            writer.write(Line(egress.REPLY))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert writer.path.read_bytes() == before
    assert writer.write(Line(egress.REPLY)).lines == 4, "and it goes on once there is room"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("chance", [None, 1, 2])
def test_a_line_is_safe_on_disk_before_its_end_is_named(tmp_path, monkeypatch, chance):
    """The power fails at any moment: whatever could have left by then is in the record after it."""
    for cut in range(1, 9):
        root = tmp_path / f"{cut}"
        root.mkdir()
        after = tmp_path / f"{cut}-after"
        lots = None if chance is None else random.Random(chance * 100 + cut)
        named = []
        with monkeypatch.context() as patch:
            Disk(root, cut, after, lots).install(patch)
            with contextlib.suppress(PowerCut):
                writer = Egress(root / "site" / "egress.jsonl")
                for round in range(1, 9):
                    named.append(writer.write(Line(egress.REPLY, round=round)))
        assert len(named) < 8, "the power did not fail"
        left = Record.read(after / "site" / "egress.jsonl")
        assert left.fault == ""
        assert [line.head for line in left.lines[: len(named)]] == named


def test_the_version_of_the_model_goes_back_with_the_model(tmp_path):
    writer = Egress(tmp_path / "egress.jsonl")
    for round in (1, 2, 3):
        writer.turns += 1
        writer.write(Line(egress.REPLY, round=round))
    again = Egress(tmp_path / "egress.jsonl")
    assert again.turns == 3
    again.restored(1)
    assert again.turns == 1
    again.turns += 1
    again.write(Line(egress.REPLY, round=2))
    assert [line["turns"] for line in lines_of(again.path)] == [1, 2, 3, 2]


# ------------------------------------------------------------------- the end that messages name


ASK = Message(Evaluate(2, 1), COORDINATOR, "north", 1)


def test_the_end_of_a_record_travels_with_answers_and_losses():
    head = Head(7, "ab" * 32)
    reply = replace(ASK.reply({"a": 1.0}), head=head)
    assert reply_from_bytes(reply_to_bytes(reply), ASK) == reply
    loss = PlayerLost("north", "evaluate", 1, "no memory", head)
    assert reply_from_bytes(reply_to_bytes(loss), ASK) == loss
    assert checked_reply(None, None, ASK, reply).head == head
    assert checked_reply(None, None, ASK, loss) == loss


def test_bytes_of_answers_without_a_record_are_as_before():
    """No name of a field more than there were: a player without a site file says nothing new."""
    data = reply_to_bytes(ASK.reply({"a": 1.0}))
    assert b'"lines"' not in data
    assert b'"last"' not in data


@pytest.mark.parametrize(
    "head",
    [Head(0, "ab" * 32), Head(True, "ab" * 32), Head(3, "AB" * 32), Head(3, 7), Head(2.0, "a"), 5],
)
def test_what_is_no_end_of_a_record_is_refused_at_the_gate(head):
    lost = checked_reply(None, None, ASK, replace(ASK.reply(), head=head))
    assert isinstance(lost, PlayerLost)
    assert "the end of its egress record" in lost.reason
    lost = checked_reply(None, None, ASK, PlayerLost("north", "evaluate", 1, "x", head))
    assert "the end of its egress record" in lost.reason
    assert lost.head is None


def test_a_carrier_refuses_half_an_end():
    data = reply_to_bytes(replace(ASK.reply(), head=Head(3, "ab" * 32)))
    wrong = data.replace(b'"lines": 3', b'"lines": 0')
    with pytest.raises(MessageError, match="the end of its egress record"):
        reply_from_bytes(wrong, ASK)


def test_the_coordinator_refuses_an_end_that_is_not_later():
    heads = Heads()
    assert heads.checked(ASK, ASK.reply()).head is None, "a player without a record has none"
    for lines in (3, 4, 9):
        answer = replace(ASK.reply(), head=Head(lines, "ab" * 32))
        assert heads.checked(ASK, answer) == answer
    for lines in (9, 8, 1):
        lost = heads.checked(ASK, replace(ASK.reply(), head=Head(lines, "cd" * 32)))
        assert isinstance(lost, PlayerLost)
        assert f"ends with line {lines}, and line 9 is known here" in lost.reason
    lost = heads.checked(ASK, ASK.reply())
    assert isinstance(lost, PlayerLost), "once it named one, it names one every time"
    loss = PlayerLost("north", "evaluate", 1, "died")
    assert heads.checked(ASK, loss) == loss, "of a player that died none can be asked"
    assert heads.known == {"north": Head(9, "ab" * 32)}

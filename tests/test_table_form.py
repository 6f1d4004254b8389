"""Rows of a table, written again, are its own lines; samples of a model are in the same form."""

import re

import pytest

from coplay.cli.main import main
from coplay.data.sources.table import Table
from coplay.data.table_form import as_packed, as_text, form_of_table
from coplay.data.tables.arrow_files import as_bytes, is_stream, whole
from coplay.data.tables.dates import DateForm

HEAD = "Besuch;Gewicht;Stufe;raucht;Ort;Uhr;Anzahl;geboren am"


def line(i):
    sep = ";"
    cells = [
        f"{1 + i % 28:02}.{1 + i % 12:02}.2023",
        f"{50 + i * 7 % 40 + 0.25 * (i % 4):.2f}".replace(".", ","),
        str(1 + i % 4),
        ("Ja", "nein")[i % 2],
        ("Köln", "Ulm", "Bad Ems")[i % 3],
        f"{6 + i % 12:02}:{15 * (i % 4):02}",
        f"{1000 + 37 * i:,}".replace(",", "."),
        f"19{60 + i % 30}-0{1 + i % 9}-1{i % 10} 08:0{i % 10}:00",
    ]
    return sep.join(cells)


LINES = [line(i) for i in range(60)]


def european(path):
    path.write_bytes(("\n".join([HEAD, *LINES]) + "\n").encode("cp1252"))
    return Table(file=str(path))


def test_lines_with_semicolons_commas_and_dates_come_back_as_they_were(tmp_path):
    source = european(tmp_path / "t.csv")
    data = source.load()
    text = as_text(data.train, data.space, form_of_table(source)).decode("cp1252")
    head, *rows = text.splitlines()
    assert head == HEAD
    assert len(rows) == 48
    assert set(rows) <= set(LINES)
    assert len(set(rows)) == 48


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (DateForm("mdy", "/", pads=False), "6/1/2023"),
        (DateForm("dmy", "-", has_name=True), "01-Jun-2023"),
        (DateForm("ymd", "-", gap="T", has_seconds=True), "2023-06-01T18:00:00"),
    ],
)
def test_dates_are_written_in_their_form(form, text):
    assert form.write(19509.75 if form.gap else 19509.0) == text


def test_missing_values_are_written_with_the_tables_mark(tmp_path):
    lines = [f"{i / 4 if i % 3 else 'NA'},{('a', 'b', '')[i % 3]}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["dose,kind", *lines]) + "\n")
    source = Table(file=str(tmp_path / "t.csv"), missing="keep")
    data = source.load()
    rows = as_text(data.train, data.space, form_of_table(source)).decode().splitlines()[1:]
    wanted = {re.sub(r"^(\d+\.\d)(?=,)", r"\g<1>0", row) for row in lines}
    assert {re.sub(r"^(\d+\.\d)(?=,)", r"\g<1>0", row) for row in rows} <= wanted


@pytest.mark.parametrize("kind", [".parquet", ".feather", ".arrow", "stream.arrow"])
def test_a_file_with_types_comes_back_with_them(tmp_path, kind):
    arrow = pytest.importorskip("pyarrow")
    n = 40
    table = arrow.table(
        {
            "seen": arrow.array([19000 + i for i in range(n)], arrow.date32()),
            "at": arrow.array([1_600_000_000 + 3600 * i for i in range(n)], arrow.timestamp("s")),
            "dose": arrow.array([i / 8 if i % 5 else None for i in range(n)], arrow.float32()),
            "visits": arrow.array([i % 20 for i in range(n)], arrow.int16()),
            "stage": arrow.array([i % 3 for i in range(n)], arrow.int32()),
            "ok": arrow.array([i % 3 == 0 for i in range(n)]),
            "since": arrow.array([f"{1 + i % 28:02}.0{1 + i % 9}.2020" for i in range(n)]),
            "smokes": arrow.array([("No", "Yes")[i % 2] for i in range(n)]),
            "town": arrow.array([("Ulm", "Bonn")[i % 2] for i in range(n)]).dictionary_encode(),
        }
    )
    ending = kind.removeprefix("stream")
    path = tmp_path / f"t{ending}"
    path.write_bytes(as_bytes(table, ending, stream=kind.startswith("stream")))
    assert is_stream(path) == kind.startswith("stream")
    source = Table(file=str(path), missing="keep")
    data = source.load()
    (tmp_path / f"back{ending}").write_bytes(
        as_packed(data.train, data.space, form_of_table(source), ending)
    )
    back = whole(tmp_path / f"back{ending}")
    original = whole(path)
    assert back.schema.names == original.schema.names
    assert [str(kind) for kind in back.schema.types] == [
        str(kind) for kind in original.schema.types
    ]
    rows = {tuple(row.values()) for row in original.to_pylist()}
    assert {tuple(row.values()) for row in back.to_pylist()} <= rows
    assert len(back) == 32


def test_samples_of_a_run_are_written_as_its_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    european(tmp_path / "t.csv")
    (tmp_path / "c.toml").write_text(
        "compare = []\n[data]\nsource = {name = 'table', file = 't.csv', label_column = 'Ort'}\n"
        "variables = ['Besuch', 'Gewicht', 'Stufe', 'raucht', 'Uhr', 'Anzahl', 'class']\n"
        "[model]\nname = 'conditionals'\nhidden = 4\n[game]\nname = 'sample_exchange'\nrounds = 1\n"
        "local_steps = 2\n[measure]\nmetrics = []\n[players.a]\n[players.b]\n"
    )
    main(["run", "c.toml", "--out", "r"])
    main(["sample", "r", "--player", "a", "-n", "20", "--out", "s.csv"])
    head, *rows = (tmp_path / "s.csv").read_bytes().decode("cp1252").splitlines()
    assert head == "Besuch;Gewicht;Stufe;raucht;Ort;Uhr;Anzahl"
    pattern = (
        r"\d\d\.\d\d\.\d{4};-?[\d.]+,\d\d;[1-4];(Ja|nein);(Köln|Ulm|Bad Ems);\d\d:\d\d;-?[\d.]+"
    )
    assert len(rows) == 20
    assert all(re.fullmatch(pattern, row) for row in rows)
    pytest.importorskip("pyarrow")
    for name in ("s.parquet", "s.feather", "s.arrow"):
        main(["sample", "r", "--player", "a", "-n", "20", "--out", name])
        back = whole(tmp_path / name)
        assert back.schema.names == head.split(";")
        assert str(back.schema.field("Besuch").type) == "date32[day]"
        assert str(back.schema.field("Uhr").type) == "time64[us]"
        days = [f"{day:%d.%m.%Y}" for day in back["Besuch"].to_pylist()]
        assert days == [row.split(";")[0] for row in rows]
    main(["sample", "r", "--player", "a", "-n", "20", "--out", "s.tsv"])
    lines = (tmp_path / "s.tsv").read_bytes().decode("cp1252").splitlines()
    assert [line.split("\t")[4] for line in lines[1:]] == [row.split(";")[4] for row in rows]
    capsys.readouterr()


def completed(tmp_path, monkeypatch, table, out, capsys):
    """Play on a table of dates, and fill the missing cells of another one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text(
        "compare = []\n[data]\nsource = {name = 'table', file = 'own.csv', missing = 'keep'}\n"
        "[model]\nname = 'autoregressive'\nhidden = 16\n[game]\nname = 'sample_exchange'\n"
        "rounds = 1\nlocal_steps = 60\n[measure]\nmetrics = []\n[players.a]\n[players.b]\n"
    )
    lines = ["visit,woken,dose,town"]
    for i in range(120):
        cells = [f"{1 + i % 28:02}.{4 + i % 3:02}.2023", f"{6 + i % 3:02}:30", f"{i % 9}.25"]
        lines.append(",".join([*cells, ("Ulm", "Bonn")[i % 2]]))
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n")
    main(["run", "c.toml", "--out", "r"])
    code = main(["complete", "r", table, "--player", "a", "--out", out])
    return code, capsys.readouterr().err


def test_missing_dates_are_filled_in_the_form_of_the_others(tmp_path, monkeypatch, capsys):
    text = "visit,woken,dose,town\n,06:30,1.25,Ulm\n03.05.2023,,2.25,\n01.04.2023,07:30,,Bonn\n"
    (tmp_path / "in.csv").write_text(text)
    code, said = completed(tmp_path, monkeypatch, "in.csv", "out.csv", capsys)
    assert code == 0, said
    rows = [line.split(",") for line in (tmp_path / "out.csv").read_text().splitlines()]
    assert re.fullmatch(r"\d\d\.\d\d\.2023", rows[1][0])
    assert rows[1][1:] == ["06:30", "1.25", "Ulm"]
    assert re.fullmatch(r"\d\d:\d\d", rows[2][1])
    assert (rows[2][0], rows[2][2], rows[3][:2]) == ("03.05.2023", "2.25", ["01.04.2023", "07:30"])


def test_a_cell_among_dates_that_is_none_is_named_with_its_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "in.csv").write_text("visit,town\n03.05.2023,Ulm\n31.02.2023,\n")
    code, said = completed(tmp_path, monkeypatch, "in.csv", "out.csv", capsys)
    assert code == 2
    assert "in.csv, line 3, column 'visit': expected a date that the calendar has" in said
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("kind", [".parquet", ".feather", ".arrow", "stream.arrow"])
def test_missing_cells_of_a_file_with_types_are_filled(tmp_path, monkeypatch, capsys, kind):
    arrow = pytest.importorskip("pyarrow")
    ending = kind.removeprefix("stream")
    visits = [19500, None, 19482] * 4
    table = arrow.table(
        {
            "number": arrow.array(range(12), arrow.int16()),
            "visit": arrow.array(visits, arrow.date32()),
            "woken": arrow.array([None, 27000, 23400] * 4, arrow.time32("s")),
            "dose": arrow.array([1.25, float("nan"), None] * 4, arrow.float32()),
            "town": arrow.array(["Ulm", "Bonn", None] * 4).dictionary_encode(),
        }
    ).replace_schema_metadata({"made by": "a registry"})
    (tmp_path / f"in{ending}").write_bytes(as_bytes(table, ending, kind.startswith("stream")))
    out = tmp_path / f"out{ending}"
    code, said = completed(tmp_path, monkeypatch, f"in{ending}", out.name, capsys)
    assert code == 0, said
    assert is_stream(out) == kind.startswith("stream")
    back = whole(out)
    assert back.schema.equals(table.schema, check_metadata=True)
    before, after = table.to_pylist(), back.to_pylist()
    for one, other in zip(before, after, strict=True):
        for name, value in one.items():
            if value is None or value != value:
                assert other[name] is not None
                assert other[name] == other[name]
            else:
                assert other[name] == value
    assert {row["town"] for row in after} == {"Ulm", "Bonn"}
    assert {row["visit"].year for row in after} == {2023}

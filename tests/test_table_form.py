"""Rows of a table, written again, are its own lines; samples of a model are in the same form."""

import re

import pytest

from coplay.cli.main import main
from coplay.data.sources.table import Table
from coplay.data.table_form import as_parquet, as_text, form_of_table
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


def test_a_parquet_file_comes_back_with_its_types(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    n = 40
    table = arrow.table(
        {
            "seen": arrow.array([19000 + i for i in range(n)], arrow.date32()),
            "at": arrow.array([1_600_000_000 + 3600 * i for i in range(n)], arrow.timestamp("s")),
            "dose": arrow.array([i / 8 if i % 5 else None for i in range(n)], arrow.float32()),
            "visits": arrow.array([i % 20 for i in range(n)], arrow.int16()),
            "stage": arrow.array([i % 3 for i in range(n)], arrow.int32()),
            "ok": arrow.array([i % 3 == 0 for i in range(n)]),
            "smokes": arrow.array([("No", "Yes")[i % 2] for i in range(n)]),
            "town": arrow.array([("Ulm", "Bonn")[i % 2] for i in range(n)]).dictionary_encode(),
        }
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    source = Table(file=str(tmp_path / "t.parquet"), missing="keep")
    data = source.load()
    (tmp_path / "back.parquet").write_bytes(
        as_parquet(data.train, data.space, form_of_table(source))
    )
    back = parquet.read_table(tmp_path / "back.parquet")
    original = parquet.read_table(tmp_path / "t.parquet")
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
    main(["sample", "r", "--player", "a", "-n", "5", "--out", "s.parquet"])
    back = Table(file="s.parquet", columns=("Besuch", "Gewicht", "Ort")).load()
    assert list(back.space) == ["Besuch", "Gewicht", "Ort"] or "Ort" not in back.space
    capsys.readouterr()

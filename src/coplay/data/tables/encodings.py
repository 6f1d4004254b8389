"""The bytes of a text and its encoding, with the line of every character that does not fit.

Files are read some megabytes at a time, so that one larger than memory can be read as well.
"""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from coplay.core.errors import DataError
from coplay.core.pace import Pace

_TRIED = "', '".join(("latin-1", "cp1252"))

_UTF_8 = ("utf-8", "utf-8-sig")

_BYTE_ORDER_MARKS = {
    "utf-32-le": codecs.BOM_UTF32_LE,  # before those of 16 bits, which they begin with
    "utf-32-be": codecs.BOM_UTF32_BE,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
}

_CONTROL = re.compile("[\x80-\x9f]")
"""Characters that no text in latin-1 holds, and that are letters and quotes in cp1252."""

_GZIP = b"\x1f\x8b"

_BLOCK = 4_000_000  # bytes that are looked at at a time

_LINE = 1_000_000  # bytes of a line that a message is about, at most


def read_bytes(path: Path) -> bytes:
    """Read a file; one that is gzipped is unpacked, whatever its name ends in.

    Raises:
        DataError: It cannot be read.
    """
    with opened(path) as stream:
        return stream.read()


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file to read its bytes; one that is gzipped is unpacked, whatever its name ends in.

    Raises:
        DataError: It cannot be read, at any time while it is open.
    """
    try:
        with path.open("rb") as plain:
            is_packed = plain.read(2) == _GZIP or path.name.lower().endswith(".gz")
            plain.seek(0)
            if is_packed:
                with gzip.GzipFile(fileobj=plain) as unpacked:
                    yield io.BufferedReader(unpacked)
            else:
                yield plain
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}") from error


@dataclass(frozen=True)
class Misfit:
    """A byte that no character of an encoding begins with, or a NUL character.

    Args:
        line: Its line, from 1.
        before: The bytes of its line before it.
        byte: It.
    """

    line: int
    before: bytes
    byte: bytes


@dataclass(frozen=True)
class Decoded:
    """What was met while a whole file was decoded.

    Args:
        misfit: Place of the first byte that does not fit; None where all fit.
        nul: Place of the first NUL character.
        control: Line of the first control character of latin-1, and the character.
        is_ascii: Whether there are no other characters.
    """

    misfit: int | None = None
    nul: int | None = None
    control: tuple[int, str] | None = None
    is_ascii: bool = True


def encoding_of(path: Path, encoding: str | None) -> tuple[str, list[str], int | None]:
    """Find out how a text is encoded, or check that it is as was said.

    Args:
        path: The file.
        encoding: The encoding that is set, by any of its names; None to find it.

    Returns:
        The codec, what the reader should know, and the place of a byte that does not fit.

    Raises:
        DataError: It is damaged, or is in no encoding that can be found; the message names the
            line.
    """
    with opened(path) as stream:
        start = stream.read(4)
    if encoding is None:
        return _found(path, start)
    known = codecs.lookup(encoding).name
    is_utf_8 = known in _UTF_8
    if is_utf_8 and start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path} is written in UTF-16; set encoding = 'utf-16'")
    codec = "utf-8-sig" if is_utf_8 else encoding
    for name, mark in _BYTE_ORDER_MARKS.items():
        if known == name and start.startswith(mark):
            codec = name[:6]  # the codec without an order of bytes reads the mark and drops it
    decoded = _decoded(path, codec)
    if decoded.misfit is not None:
        return codec, [], decoded.misfit
    _check_nul(path, codec, decoded)
    if known == "iso8859-1" and decoded.control is not None:
        line, letter = decoded.control
        return (
            codec,
            [
                f"line {line}: 0x{ord(letter):02x} is a control character in {encoding}; the "
                "file is likely written in cp1252: set encoding = 'cp1252'"
            ],
            None,
        )
    if is_utf_8 or decoded.is_ascii or _decoded(path, "utf-8").misfit is not None:
        return codec, [], None
    note = f"read as {encoding}, and valid UTF-8 too; leave encoding out if letters look wrong"
    return codec, [note], None


def _found(path: Path, start: bytes) -> tuple[str, list[str], int | None]:
    """Return the encoding that a text seems to have; the arguments and values are as above."""
    for name, mark in _BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            decoded = _decoded(path, name[:6])
            _check_nul(path, name[:6], decoded)
            note = f"read as {name[:6]}, by the mark at its start"
            return name[:6], [note], decoded.misfit
    decoded = _decoded(path, "utf-8-sig")
    if decoded.misfit is None:
        _check_nul(path, "utf-8-sig", decoded)
        return "utf-8-sig", [], None
    western = _decoded(path, "cp1252")
    # letters that are right in UTF-8 beside bytes that are not: the file is broken, or two in one
    if western.misfit is not None or not _is_nowhere_utf_8(path):
        return "utf-8-sig", [], decoded.misfit
    _check_nul(path, "cp1252", western)
    note = (
        f"read as cp1252, since it is no UTF-8 (line {misfit_at(path, decoded.misfit).line}); set "
        "encoding if letters look wrong"
    )
    return "cp1252", [note], None


def _decoded(path: Path, codec: str) -> Decoded:
    """Decode a whole file, some megabytes at a time."""
    decoder = codecs.getincrementaldecoder(codec)()
    has_control = codecs.lookup(codec).name == "iso8859-1"
    result = Decoded()
    pace = Pace(f"characters of {path}", path.stat().st_size)
    place, lines = 0, 1
    with opened(path) as stream:
        while True:
            block = stream.read(_BLOCK)
            waiting = decoder.getstate()[0]
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeError as error:
                first = place - len(waiting) + getattr(error, "start", 0)
                return Decoded(first, result.nul, result.control, result.is_ascii)
            nul, control, is_ascii = result.nul, result.control, result.is_ascii
            if nul is None and "\0" in text:
                nul = place + block.find(b"\0")
            if has_control and control is None:
                met = _CONTROL.search(text)
                if met is not None:
                    control = (lines + text.count("\n", 0, met.start()), met.group())
            result = Decoded(None, nul, control, is_ascii and text.isascii())
            if not block:
                return result
            lines += text.count("\n") if has_control else 0
            place += len(block)
            pace.at(place)


def _is_nowhere_utf_8(path: Path) -> bool:
    """Whether no letter beyond ASCII is one in UTF-8, in a file that is no UTF-8."""
    with opened(path) as stream:
        while block := stream.read(_BLOCK):
            if not block.isascii() and not block.decode("utf-8", "ignore").isascii():
                return False
    return True


def _check_nul(path: Path, codec: str, decoded: Decoded) -> None:
    """Refuse a text with a NUL character."""
    if decoded.nul is None or codecs.lookup(codec).name.startswith(("utf-16", "utf-32")):
        return
    raise DataError(
        f"{path}, line {misfit_at(path, decoded.nul).line}: a NUL character, which no table of "
        "text has; the file is damaged, or written in UTF-16 (set encoding = 'utf-16')"
    )


def misfit_at(path: Path, place: int) -> Misfit:
    """Return a byte of a file with its line, whatever ends the lines."""
    line, left, before, was = 1, place, b"", b""
    with opened(path) as stream:
        while left:
            block = stream.read(min(left, _BLOCK))
            line += block.count(b"\n") + block.count(b"\r") - block.count(b"\r\n")
            line -= was.endswith(b"\r") and block.startswith(b"\n")
            before = (before + block)[-_LINE:]
            was, left = block, left - len(block)
        byte = stream.read(1)
    start = max(before.rfind(b"\n"), before.rfind(b"\r")) + 1
    return Misfit(line, before[start:], byte)


def misfit_text(misfit: Misfit, encoding: str | None) -> str:
    """Say what is wrong with a byte, and what to do."""
    what = f"byte 0x{misfit.byte.hex()} is no {encoding or 'utf-8'} character"
    if encoding is None:
        return (
            f"{what}, though others of the file are; mend it, or set encoding to the file's own, "
            f"such as '{_TRIED}'"
        )
    return f"{what}; set encoding to the file's own, such as '{_TRIED}'"

"""The bytes of a text and its encoding, with the line of every character that does not fit."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from pathlib import Path

from coplay.core.errors import DataError

_TRIED = "', '".join(("latin-1", "cp1252"))

_UTF_8 = ("utf-8", "utf-8-sig")

_BYTE_ORDER_MARKS = {
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}

_CONTROL = re.compile("[\x80-\x9f]")
"""Characters that no text in latin-1 holds, and that are letters and quotes in cp1252."""

_GZIP = b"\x1f\x8b"


def read_bytes(path: Path) -> bytes:
    """Read a file; one that is gzipped is unpacked, whatever its name ends in.

    Raises:
        DataError: It cannot be read.
    """
    try:
        content = path.read_bytes()
        is_packed = content.startswith(_GZIP) or path.name.lower().endswith(".gz")
        return gzip.decompress(content) if is_packed else content
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}") from error


def encoding_of(content: bytes, path: Path, encoding: str) -> tuple[str, list[str]]:
    """Check that a text can be decoded; return the codec and what the reader should know.

    Args:
        content: The bytes of the file.
        path: The file, for errors.
        encoding: The encoding that is set, by any of its names.

    Raises:
        DataError: It cannot be decoded, or is damaged; the message names the line.
    """
    known = codecs.lookup(encoding).name
    is_utf_8 = known in _UTF_8
    if is_utf_8 and content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path} is written in UTF-16; set encoding = 'utf-16'")
    codec = "utf-8-sig" if is_utf_8 else encoding
    for name, mark in _BYTE_ORDER_MARKS.items():
        if known == name and content.startswith(mark):
            codec = name[:6]  # the codec without an order of bytes reads the mark and drops it
    try:
        text = content.decode(codec)
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        line = _line_of(content, start)
        byte = content[start : start + 1].hex()
        advice = f"set encoding to the file's own, such as '{_TRIED}'"
        raise DataError(
            f"{path}, line {line}: byte 0x{byte} is no {encoding} character; {advice}"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            f"{path}, line {line}: a NUL character, which no table of text has; the file is "
            "damaged, or written in UTF-16 (set encoding = 'utf-16')"
        )
    if known == "iso8859-1" and _CONTROL.search(text):
        control = _CONTROL.search(text)
        assert control is not None
        line = 1 + text.count("\n", 0, control.start())
        return codec, [
            f"line {line}: 0x{ord(control.group()):02x} is a control character in {encoding}; the "
            "file is likely written in cp1252: set encoding = 'cp1252'"
        ]
    if is_utf_8 or text.isascii() or not _is_utf_8(content):
        return codec, []
    note = f"read as {encoding}, and valid UTF-8 too; leave encoding out if letters look wrong"
    return codec, [note]


def _line_of(content: bytes, place: int) -> int:
    """Return the line of a byte, whatever ends the lines."""
    before = content[:place]
    return 1 + before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")


def _is_utf_8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeError:
        return False
    return True

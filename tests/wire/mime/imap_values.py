"""Reads IMAP parenthesized values back, by the grammar of RFC 9051 section 9, for the tests."""

import re

_NUMBER = re.compile(rb"[0-9]+")
_QUOTED = re.compile(rb'"((?:[^"\\\r\n\x00\x80-\xff]|\\["\\])*)"')
_LITERAL = re.compile(rb"\{([0-9]+)\}\r\n")


def parse(value: bytes):
    """One value: list, bytes, int, or None for NIL; anything left over is an error."""
    parsed, position = _value(value, 0)
    assert position == len(value), value[position:]
    return parsed


def _value(text: bytes, at: int):
    if text.startswith(b"NIL", at):
        return None, at + 3
    if text.startswith(b"(", at):
        return _list(text, at + 1)
    if found := _NUMBER.match(text, at):
        return int(found[0]), found.end()
    if found := _QUOTED.match(text, at):
        return re.sub(rb"\\(.)", rb"\1", found[1]), found.end()
    found = _LITERAL.match(text, at)
    assert found, text[at : at + 40]
    stop = found.end() + int(found[1])
    literal = text[found.end() : stop]
    assert len(literal) == int(found[1])
    assert b"\0" not in literal
    return literal, stop


def _list(text: bytes, at: int):
    items = []
    while not text.startswith(b")", at):
        # Bodies of a multipart and addresses follow each other without a space.
        if items and not (isinstance(items[-1], list) and text.startswith(b"(", at)):
            assert text.startswith(b" ", at), text[at : at + 40]
            at += 1
        item, at = _value(text, at)
        items.append(item)
    assert items, "the grammar has no empty list"
    return items, at + 1

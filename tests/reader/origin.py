"""origin.note: who a log is (page: origin.note)."""

import base64
import binascii
import re

from .crypto import sha256, verifies

_TEXT = re.compile(
    r"recorder-journal/v1/(?P<log>[0-9a-f]{32})\n"
    r"host-id (?P<host_id>[0-9a-f]{32})\n"
    r"host (?P<host>[^\n]*)\n"
    r"incarnation (?P<incarnation>[1-9][0-9]*)\n"
    r"previous (?:none|(?P<previous>[0-9a-f]{32}) (?P<why>damaged|recovery-key-mismatch|recovery-key-missing))\n"
    r"admission (?P<admission>[A-Za-z0-9+/=]+)\n"
    r"first-seal (?P<first>[A-Za-z0-9+/=]+)\n"
)
_LINE = re.compile("\u2014 (?P<name>[^\\s+\x00-\x1f\x7f]+) (?P<signature>[A-Za-z0-9+/=]+)")
MAX_LEN, MAX_SIGNATURES = 16 << 10, 64


def _base64(text, length=None):
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return raw if length in (None, len(raw)) and base64.b64encode(raw).decode() == text else None


class Origin:
    """A note whose signature holds."""

    def __init__(self, match, admission, first):
        self.log = bytes.fromhex(match["log"])
        self.host_id = match["host_id"]
        self.host = match["host"]
        self.incarnation = int(match["incarnation"])
        self.previous = match["previous"]
        self.why = match["why"]
        self.admission, self.first_seal = admission, first


def _signatures(block):
    """(name, key hash, signature) of each line; None if one is no signature line (C2SP signed-note)."""
    found = []
    for line in block.removesuffix("\n").split("\n"):
        match = _LINE.fullmatch(line)
        raw = match and _base64(match["signature"])
        if not raw or len(raw) < 4:
            return None
        found.append((match["name"], raw[:4], raw[4:]))
    return found if len(found) <= MAX_SIGNATURES else None


def parse(note):
    """The origin, or None where a byte is not as it must be."""
    try:
        text, blank, block = note.decode("utf-8").partition("\n\n")
    except UnicodeDecodeError:
        return None
    match, signatures = _TEXT.fullmatch(text + "\n"), _signatures(block)
    if len(note) > MAX_LEN or not blank or match is None or signatures is None:
        return None
    admission, first = _base64(match["admission"], 32), _base64(match["first"], 32)
    if None in (admission, first) or int(match["incarnation"]) >= 2**32:
        return None
    name = f"recorder-journal/v1/{match['log']}"
    key_hash = sha256(name.encode(), b"\n\x01", admission)[:4]
    ours = [raw for who, hint, raw in signatures if (who, hint) == (name, key_hash)]
    signed = (text + "\n").encode()
    if not ours or not all(len(raw) == 64 and verifies(admission, signed, raw) for raw in ours):
        return None
    return Origin(match, admission, first)

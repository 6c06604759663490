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
    r"\n"
    "\u2014 recorder-journal/v1/(?P<signer>[0-9a-f]{32}) (?P<signature>[A-Za-z0-9+/=]+)\n"
)


def _base64(text, length):
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return raw if len(raw) == length and base64.b64encode(raw).decode() == text else None


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


def parse(note):
    """The origin, or None where a byte is not as it must be."""
    try:
        match = _TEXT.fullmatch(note.decode("utf-8"))
    except UnicodeDecodeError:
        return None
    if match is None or match["signer"] != match["log"]:
        return None
    admission, first = _base64(match["admission"], 32), _base64(match["first"], 32)
    signature = _base64(match["signature"], 68)
    if None in (admission, first, signature) or int(match["incarnation"]) >= 2**32:
        return None
    name = f"recorder-journal/v1/{match['log']}".encode()
    if signature[:4] != sha256(name, b"\n\x01", admission)[:4]:
        return None
    text = note[: note.rindex(b"\n\n") + 1]
    if not verifies(admission, text, signature[4:]):
        return None
    return Origin(match, admission, first)

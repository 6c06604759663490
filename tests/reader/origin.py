"""origin.note: who a log is (page: origin.note)."""

import re

from . import note as notes

_TEXT = re.compile(
    r"recorder-journal/v1/(?P<log>[0-9a-f]{32})\n"
    r"host-id (?P<host_id>[0-9a-f]{32})\n"
    r"host (?P<host>[^\n]*)\n"
    r"incarnation (?P<incarnation>[1-9][0-9]*)\n"
    r"previous (?:none|(?P<previous>[0-9a-f]{32}) (?P<why>damaged|recovery-key-mismatch|recovery-key-missing))\n"
    r"admission (?P<admission>[A-Za-z0-9+/=]+)\n"
    r"first-seal (?P<first>[A-Za-z0-9+/=]+)\n"
)
MAX_LEN = 16 << 10


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
    found = notes.split(note)
    match = found and _TEXT.fullmatch(found[0])
    if not match or len(note) > MAX_LEN:
        return None
    admission, first = notes.unbase64(match["admission"], 32), notes.unbase64(match["first"], 32)
    if None in (admission, first) or int(match["incarnation"]) >= 2**32:
        return None
    if not notes.signed(*found, f"recorder-journal/v1/{match['log']}", admission):
        return None
    return Origin(match, admission, first)

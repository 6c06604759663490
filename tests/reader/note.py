"""C2SP signed notes: text, a blank line, signature lines; keys as vkeys (page: origin.note, Checkpoint, witness)."""

import base64
import binascii
import re

from .crypto import sha256, verifies

_LINE = re.compile("\u2014 (?P<name>[^\\s+\x00-\x1f\x7f]+) (?P<signature>[A-Za-z0-9+/=]+)")
_VKEY = re.compile("(?P<name>[^\\s+\x00-\x1f\x7f]+)\\+(?P<hash>[0-9a-f]{8})\\+(?P<key>[A-Za-z0-9+/=]+)")
MAX_LEN, MAX_SIGNATURES = 64 << 10, 64
ED25519, COSIGNATURE = 1, 4


def unbase64(text, length=None):
    """Standard and padded; None if a character is not as it must be."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if length in (None, len(raw)) and base64.b64encode(raw).decode() == text else None


def key_hash(name, kind, key):
    return sha256(name.encode(), b"\n", bytes([kind]), key)[:4]


def signatures(block):
    """(name, key hash, signature) of each line; None if one is no signature line."""
    found = []
    for line in block.removesuffix("\n").split("\n"):
        match = _LINE.fullmatch(line)
        raw = match and unbase64(match["signature"])
        if not raw or len(raw) < 4:
            return None
        found.append((match["name"], raw[:4], raw[4:]))
    return found if len(found) <= MAX_SIGNATURES else None


def split(note):
    """(text with its last newline, signatures), or None where it is no signed note."""
    try:
        text, blank, block = note.decode("utf-8").partition("\n\n")
    except UnicodeDecodeError:
        return None
    lines = signatures(block)
    odd = any(c < " " and c != "\n" for c in text)
    if len(note) > MAX_LEN or not blank or odd or lines is None:
        return None
    return text + "\n", lines


def signed(text, lines, name, key):
    """Whether the Ed25519 key signed: one line at least is its, and each that is holds."""
    hint = key_hash(name, ED25519, key)
    ours = [raw for who, at, raw in lines if (who, at) == (name, hint)]
    return bool(ours) and all(len(raw) == 64 and verifies(key, text.encode(), raw) for raw in ours)


class Vkey:
    """How witnesses and policies name a key."""

    def __init__(self, text):
        match = _VKEY.fullmatch(text)
        raw = match and unbase64(match["key"])
        if not raw:
            raise ValueError("no vkey")
        self.name, self.kind, self.key = match["name"], raw[0], raw[1:]
        if key_hash(self.name, self.kind, self.key).hex() != match["hash"]:
            raise ValueError("another key hash")

    def cosigned(self, text, lines):
        """When this witness signed the text, in seconds; None if it did not."""
        if self.kind != COSIGNATURE or len(self.key) != 32:
            return None
        hint, times = key_hash(self.name, COSIGNATURE, self.key), []
        for who, at, raw in lines:
            if (who, at) != (self.name, hint):
                continue
            seconds = int.from_bytes(raw[:8], "big")
            message = f"cosignature/v1\ntime {seconds}\n{text}".encode()
            # A line that claims to be this key's and is not takes the others with it.
            if len(raw) != 72 or not verifies(self.key, message, raw[8:]):
                return None
            times.append(seconds)
        return min(times, default=None)

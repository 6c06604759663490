"""Signatures by `ssh-keygen -Y sign` and lists of allowed signers, Ed25519 keys only (PROTOCOL.sshsig, ssh-keygen(1))."""

import base64
import binascii
import fnmatch
import hashlib
import re
import shlex
from datetime import datetime, timezone

from .crypto import verifies

BEGIN, END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
HASHES = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}


def _string(raw):
    return len(raw).to_bytes(4, "big") + raw


class _Reader:
    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def take(self, n):
        if n > len(self.raw) - self.at:
            raise ValueError("cut")
        self.at += n
        return self.raw[self.at - n : self.at]

    def string(self):
        return self.take(int.from_bytes(self.take(4), "big"))

    def finish(self):
        if self.at != len(self.raw):
            raise ValueError("bytes left over")


def _ed25519(blob):
    r = _Reader(blob)
    kind, key = r.string(), r.string()
    r.finish()
    if kind != b"ssh-ed25519" or len(key) not in (32, 64):
        raise ValueError("not Ed25519")
    return key


def signer(document, armored, namespace):
    """The public key (as in a key file) whose signature over the document this is; None if it is no good one."""
    try:
        lines = armored.decode("ascii").strip().split("\n")
        if lines[0] != BEGIN or lines[-1] != END:
            return None
        r = _Reader(base64.b64decode("".join(lines[1:-1]), validate=True))
        if r.take(6) != b"SSHSIG" or int.from_bytes(r.take(4), "big") != 1:
            return None
        blob, space, reserved, name, signature = (r.string() for _ in range(5))
        r.finish()
        if space != namespace.encode() or reserved or name not in HASHES:
            return None
        message = b"SSHSIG" + b"".join(map(_string, (space, reserved, name, HASHES[name](document).digest())))
        return blob if verifies(_ed25519(blob), message, _ed25519(signature)) else None
    except (ValueError, binascii.Error, UnicodeDecodeError):
        return None


def _time(text):
    match = re.fullmatch(r"(\d{8})(?:(\d{4})(\d\d)?)?Z", text)
    if not match:
        raise ValueError("a time that is not in UTC")
    digits = match[1] + (match[2] or "0000") + (match[3] or "00")
    return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=timezone.utc).timestamp()


def _lists(name, patterns):
    """Whether a comma list of patterns names somebody; a negated one that does, wins."""
    hit = False
    for pattern in patterns.split(","):
        if fnmatch.fnmatchcase(name, pattern.removeprefix("!")):
            if pattern.startswith("!"):
                return False
            hit = True
    return hit


def _options(word):
    """Options as a dictionary; a comma inside quotes separates nothing."""
    found = {}
    for part in re.findall(r'(?:[^,"]|"[^"]*")+', word):
        name, _, value = part.partition("=")
        found[name.lower()] = value.strip('"')
    return found


def allowed(text, name, blob, namespace, seconds):
    """Whether a line that names this namespace lets the key sign for somebody at a time."""
    for line in text.split("\n"):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        words = [w for w in re.findall(r'(?:[^\s"]|"[^"]*")+', line)]
        if len(words) > 2 and words[1].startswith("ssh-"):
            words.insert(1, "")
        if len(words) < 4 or words[2] != "ssh-ed25519" or base64.b64decode(words[3]) != blob:
            continue
        options = _options(words[1])
        if "namespaces" not in options or not _lists(namespace, options["namespaces"]) or "cert-authority" in options:
            continue
        if "valid-after" in options and seconds < _time(options["valid-after"]):
            continue
        if "valid-before" in options and seconds > _time(options["valid-before"]):
            continue
        if _lists(name, shlex.split(words[0])[0]):
            return True
    return False

"""The bodies of encrypted segments (page: Encryption)."""

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from . import age
from .crypto import hmac_sha256
from .cursor import u64

LABEL = b"recorder-journal/v1/segment-key\0"
AEADS = {1: AESGCM, 2: ChaCha20Poly1305}


class DecryptFailed(Exception):
    """The identity opens nothing, or the writer was wrong."""


def commitment(dek, log, leaf):
    return hmac_sha256(dek, LABEL + log + u64(leaf))


class Ratchet:
    """The keys of a segment's encrypted frames, one after the other."""

    def __init__(self, dek):
        self.dek = dek

    @classmethod
    def unwrap(cls, head, leaf, secret):
        """From a segment header's wrapped key; None if it is wrapped to others."""
        try:
            dek = age.decrypt(head.wrapped, secret)
        except age.NotForUs:
            return None
        except age.AgeError as e:
            raise DecryptFailed(str(e)) from e
        if len(dek) != 32 or not hmac.compare_digest(commitment(dek, head.log, leaf), head.commitment):
            raise DecryptFailed("another commitment")
        return cls(dek)

    def next(self):
        key = hmac_sha256(self.dek, b"frame")
        self.dek = hmac_sha256(self.dek, b"next")
        return key


def open_body(key, header, body):
    """A frame's body as it would be without encryption."""
    if header.aead not in AEADS:
        raise DecryptFailed("an unknown aead")
    try:
        return AEADS[header.aead](key).decrypt(bytes(12), body, header.raw)
    except (InvalidTag, ValueError) as e:
        raise DecryptFailed("a tag that does not fit") from e

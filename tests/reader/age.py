"""age v1 files for X25519 identities (C2SP age). Other stanzas are passed over."""

import base64
import binascii
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .crypto import hmac_sha256

VERSION = b"age-encryption.org/v1\n"
CHUNK = 64 << 10
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


class AgeError(Exception):
    """Not an age file."""


class NotForUs(AgeError):
    """Wrapped to others than this identity."""


def _hkdf(secret, salt, info):
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=info).derive(secret)


def _unbase64(text):
    """Canonical, without padding."""
    try:
        raw = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error as e:
        raise AgeError("base64") from e
    if _base64(raw) != text:
        raise AgeError("base64 that is not canonical")
    return raw


def _base64(raw):
    return base64.b64encode(raw).rstrip(b"=")


def _polymod(values):
    chk = 1
    for v in values:
        top = chk >> 25
        chk = (chk & 0x1FFFFFF) << 5 ^ v
        for i, g in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            chk ^= g if (top >> i) & 1 else 0
    return chk


def _expand(hrp):
    return [ord(c) >> 5 for c in hrp] + [0] + [ord(c) & 31 for c in hrp]


def _regroup(data, old, new, pad):
    acc = bits = 0
    out = []
    for value in data:
        acc, bits = (acc << old) | value, bits + old
        while bits >= new:
            bits -= new
            out.append((acc >> bits) & ((1 << new) - 1))
    if pad and bits:
        out.append((acc << (new - bits)) & ((1 << new) - 1))
    elif not pad and (bits >= old or acc & ((1 << bits) - 1)):
        raise AgeError("bech32 padding")
    return out


def bech32_decode(hrp, text):
    if text not in (text.lower(), text.upper()):
        raise AgeError("bech32 of mixed case")
    text = text.lower()
    head, _, tail = text.rpartition("1")
    if head != hrp or any(c not in _BECH32 for c in tail) or len(tail) < 6:
        raise AgeError("bech32")
    values = [_BECH32.index(c) for c in tail]
    if _polymod(_expand(hrp) + values) != 1:
        raise AgeError("bech32 checksum")
    return bytes(_regroup(values[:-6], 5, 8, False))


def bech32_encode(hrp, raw):
    values = _regroup(raw, 8, 5, True)
    check = _polymod(_expand(hrp) + values + [0] * 6) ^ 1
    values += [(check >> 5 * (5 - i)) & 31 for i in range(6)]
    return hrp + "1" + "".join(_BECH32[v] for v in values)


def identity(text):
    """The X25519 secret of an identity file."""
    for line in text.splitlines():
        if line.strip().upper().startswith("AGE-SECRET-KEY-1"):
            raw = bech32_decode("age-secret-key-", line.strip())
            if len(raw) != 32:
                raise AgeError("an identity of another length")
            return X25519PrivateKey.from_private_bytes(raw)
    raise AgeError("no X25519 identity in the file")


def _public(key):
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def _stanzas(raw):
    """(stanzas, the header up to and with `---`, the MAC, the payload)."""
    if not raw.startswith(VERSION):
        raise AgeError("not an age file")
    at, stanzas = len(VERSION), []
    while True:
        end = raw.find(b"\n", at)
        if end < 0:
            raise AgeError("a header without an end")
        line = raw[at:end]
        if line.startswith(b"--- "):
            return stanzas, raw[: at + 3], _unbase64(line[4:]), raw[end + 1 :]
        if not line.startswith(b"-> "):
            raise AgeError("a header line")
        arguments, body, at = line[3:].split(b" "), b"", end + 1
        while True:
            end = raw.find(b"\n", at)
            if end < 0 or end - at > 64:
                raise AgeError("a stanza's body")
            body, length, at = body + raw[at:end], end - at, end + 1
            if length < 64:
                break
        stanzas.append((arguments, _unbase64(body)))


def _wrap_key(shared, share, recipient):
    if not any(shared):
        raise AgeError("a share of small order")
    return _hkdf(shared, share + recipient, b"age-encryption.org/v1/X25519")


def _file_key(stanzas, secret):
    for arguments, body in stanzas:
        if arguments[0] != b"X25519":
            continue
        if len(arguments) != 2 or len(body) != 32:
            raise AgeError("an X25519 stanza")
        share = _unbase64(arguments[1])
        if len(share) != 32:
            raise AgeError("an X25519 share")
        try:
            shared = secret.exchange(X25519PublicKey.from_public_bytes(share))
            key = _wrap_key(shared, share, _public(secret.public_key()))
            return ChaCha20Poly1305(key).decrypt(bytes(12), body, None)
        except ValueError as e:
            raise AgeError("a share of small order") from e
        except InvalidTag:
            continue
    raise NotForUs("not for this identity")


def decrypt(raw, secret):
    """The plaintext of a binary age file."""
    stanzas, header, mac, payload = _stanzas(raw)
    file_key = _file_key(stanzas, secret)
    if not hmac.compare_digest(hmac_sha256(_hkdf(file_key, b"", b"header"), header), mac):
        raise AgeError("the header's MAC")
    if len(payload) < 16:
        raise AgeError("no payload")
    key = ChaCha20Poly1305(_hkdf(file_key, payload[:16], b"payload"))
    rest, plain, n = payload[16:], b"", 0
    while True:
        chunk, rest = rest[: CHUNK + 16], rest[CHUNK + 16 :]
        nonce = n.to_bytes(11, "big") + (b"\0" if rest else b"\1")
        try:
            part = key.decrypt(nonce, chunk, None)
        except (InvalidTag, ValueError) as e:
            raise AgeError("the payload") from e
        if not part and n > 0:
            raise AgeError("an empty last chunk")
        plain, n = plain + part, n + 1
        if not rest:
            return plain


def encrypt(plain, recipients, secret_of_share, file_key, nonce):
    """For self-tests: an age file to X25519 public keys (32 bytes each) with the given randomness."""
    header = VERSION
    for recipient in recipients:
        share = _public(secret_of_share.public_key())
        shared = secret_of_share.exchange(X25519PublicKey.from_public_bytes(recipient))
        body = ChaCha20Poly1305(_wrap_key(shared, share, recipient)).encrypt(bytes(12), file_key, None)
        header += b"-> X25519 " + _base64(share) + b"\n" + _base64(body) + b"\n"
    header += b"---"
    mac = hmac_sha256(_hkdf(file_key, b"", b"header"), header)
    key = ChaCha20Poly1305(_hkdf(file_key, nonce, b"payload"))
    out, chunks = header + b" " + _base64(mac) + b"\n" + nonce, max(1, -(-len(plain) // CHUNK))
    for n in range(chunks):
        last = b"\1" if n + 1 == chunks else b"\0"
        out += key.encrypt(n.to_bytes(11, "big") + last, plain[n * CHUNK : (n + 1) * CHUNK], None)
    return out

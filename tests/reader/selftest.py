"""What the second reader checks of itself: the page's vectors, strict signatures, an encrypted segment of its own making."""

import re

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from . import age, checkpoint, crypto, decrypt, permits, records, sshsig, stub
from . import frame as fr
from . import note as notes
from .cursor import Malformed, u64
from .segment import LABEL_SEAL, Seal, Unreadable


def _vectors(path):
    with open(path, encoding="utf-8") as f:
        page = f.read()
    found = re.findall(r"^    vector (\S+)\n((?:      [0-9a-f]+\n?)+)", page, re.M)
    return {name: bytes.fromhex("".join(lines.split())) for name, lines in found}


def _texts(path):
    with open(path, encoding="utf-8") as f:
        page = f.read()
    found = re.findall(r"^    text (\S+)\n((?:      .*\n|\n(?=      ))+)", page, re.M)
    return {name: re.sub(r"^      ", "", lines, flags=re.M) for name, lines in found}


def _kept(path):
    """Stub, permit, checkpoint and cosignature of the page."""
    v, t = _vectors(path), _texts(path)
    raw = v["stub"]
    made = stub.Stub("stub", raw)
    yield "vector stub", (made.leaf, made.leaves, made.seals, made.header.log) == (0, 5, 3, b"\x33" * 16)
    row, tomb = made.rows[0], made.tombstones[0]
    yield "its row", (row.stream, row.opened, row.closed, row.session, row.done) == (1, 1, 1, b"\x01" * 16, (0, 0, 0))
    yield "its tombstone", (tomb["first"], tomb["leaves"], tomb["applied"]) == (3, 4, 1_700_000_005 * 10**9)
    for n in range(len(raw)):
        if not _refused(lambda b=raw[:n]: stub.Stub("stub", b), Unreadable):
            yield f"a stub cut at {n}", False
        bad = raw[:n] + bytes([raw[n] ^ 1]) + raw[n + 1 :]
        if not _refused(lambda b=bad: stub.Stub("stub", b), Unreadable):
            yield f"a stub with byte {n} flipped", False
    document, signature = t["permit"].encode(), t["permit-signature"].encode()
    permit = permits.Permit(document)
    yield "vector permit-digest", crypto.sha256(document) == v["permit-digest"]
    yield "vector permit", permit.segments == [(0, 4, crypto.sha256(raw))] and permit.log == "33" * 16
    blob = sshsig.signer(document, signature, permits.NAMESPACE)
    yield "vector permit-signature", sshsig.allowed(t["allowed-signers"], "dana", blob, permits.NAMESPACE, 1_700_000_005)
    yield "another namespace", sshsig.signer(document, signature, "recorder-grant") is None
    yield "another document", sshsig.signer(document + b"\n", signature, permits.NAMESPACE) is None
    admission = Ed25519PrivateKey.from_private_bytes(b"\x33" * 32).public_key()
    admission = admission.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    note = checkpoint.parse(t["checkpoint"].encode())
    told = (note.log, note.leaves, note.root)
    yield "vector checkpoint", note.by(admission) and told == ("11" * 16, 1, v["tree-root"])
    witness, cosigned = notes.Vkey(t["vkey"].strip()), checkpoint.parse(t["cosigned"].encode())
    yield "vector cosigned", witness.cosigned(cosigned.text, cosigned.lines) == 1_700_000_005 and cosigned.by(admission)
    yield "nobody's cosignature", witness.cosigned(note.text, note.lines) is None
    name, hint, line = cosigned.lines[1]
    other = [*cosigned.lines, (name, hint, line[:-1] + bytes([line[-1] ^ 1]))]
    yield "a bad line takes the good one with it", witness.cosigned(cosigned.text, other) is None
    extended = t["checkpoint"].replace("\n\n", "\nmore\n\n", 1).encode()
    yield "a further line is read, and signed", checkpoint.parse(extended) and not checkpoint.parse(extended).by(admission)
    for bad in ("\n01\n", "\n+1\n", "\n1 \n", "\n1\t\n"):
        yield f"leaves as {bad!r}", checkpoint.parse(t["checkpoint"].replace("\n1\n", bad, 1).encode()) is None


def _page(path):
    v = _vectors(path)
    frame = fr.read(v["frame"], 0)
    yield "vector frame", (frame.header.leaf, frame.header.record, frame.header.records, frame.body) == (1, 2, 3, b"abc")
    yield "vector frame-hash", frame.hash == v["frame-hash"]
    seal_frame = fr.read(v["seal"], 0)
    seal = Seal(seal_frame)
    tree = crypto.Tree()
    tree.push(seal.prev)
    yield "vector tree-root", tree.root() == v["tree-root"] == seal.root
    public = Ed25519PrivateKey.from_private_bytes(b"\x33" * 32).public_key()
    key = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    message = LABEL_SEAL + b"\x11" * 16 + b"\x22" * 32 + seal_frame.stored[:-64]
    yield "vector seal", crypto.verifies(key, message, seal.signature)
    yield "a seal of other bytes", not crypto.verifies(key, message + b"\0", seal.signature)
    entries = records.decode(v["records"])
    yield "vector records", [r.body["path"] for r in entries] == [b"/etc/a", b"/etc/b", b"/usr/bin/true"]
    yield "vector records' arguments", entries[2].body["argv"] == [b"true", b"x-0"]
    for n in range(len(v["records"])):
        try:
            records.decode(v["records"][:n])
            yield f"records cut at {n}", False
        except Malformed:
            pass


def _strict():
    secret = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
    key = secret.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    good = secret.sign(b"m")
    yield "a good signature", crypto.verifies(key, b"m", good)
    s = int.from_bytes(good[32:], "little") + crypto.L
    yield "S that is not reduced", not crypto.verifies(key, b"m", good[:32] + s.to_bytes(32, "little"))
    # The neutral element as key and as R, with S = 0, verifies for every message where nobody is strict.
    neutral = b"\x01" + bytes(31)
    yield "a small-order key", not crypto.verifies(neutral, b"m", neutral + bytes(32))
    yield "a small-order R", not crypto.verifies(key, b"m", neutral + bytes(32))
    # RFC 8032, test 2.
    key = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    yield "RFC 8032", crypto.verifies(key, b"\x72", signature)
    yield "CRC32C", crypto.crc32c(b"123456789") == 0xE3069283


class _Head:
    def __init__(self, log, wrapped, commitment):
        self.log, self.wrapped, self.commitment = log, wrapped, commitment


def _header(aead, body_len):
    raw = bytearray(fr.HEADER)
    raw[:8], raw[8:12], raw[12], raw[64], raw[68], raw[69] = b"RJF1\x01\x02\x70\x00", body_len.to_bytes(4, "little"), 4, 1, 1, aead
    return fr.Header(bytes(raw))


def _refused(act, *errors):
    try:
        act()
    except errors:
        return True
    return False


def _encryption():
    secret, other = (X25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (3, 4))
    public = age._public(secret.public_key())
    text = age.bech32_encode("age-secret-key-", b"\x03" * 32).upper()
    yield "an identity file", age._public(age.identity(f"# x\n{text}\n").public_key()) == public
    # https://age-encryption.org/v1, the example key pair of the specification's bech32.
    yield "bech32", age.bech32_decode("age", age.bech32_encode("age", public)) == public
    yield "bech32 with an error", _refused(lambda: age.bech32_decode("age", age.bech32_encode("age", public)[:-1] + "q"), age.AgeError)
    dek, log, leaf = b"\x42" * 32, b"\x11" * 16, 77
    recipients = [age._public(other.public_key()), public]
    wrapped = age.encrypt(dek, recipients, X25519PrivateKey.from_private_bytes(b"\x05" * 32), b"\x06" * 16, b"\x07" * 16)
    head = _Head(log, wrapped, decrypt.commitment(dek, log, leaf))
    plain = [b"first", b"second" * 1000, b""]
    keys, stored = decrypt.Ratchet(dek), []
    for n, body in enumerate(plain):
        aead = 1 + n % 2
        header = _header(aead, len(body) + 16)
        stored.append((header, decrypt.AEADS[aead](keys.next()).encrypt(bytes(12), body, header.raw)))
    ratchet = decrypt.Ratchet.unwrap(head, leaf, secret)
    yield "bodies come back", [decrypt.open_body(ratchet.next(), *s) for s in stored] == plain
    failed = decrypt.DecryptFailed
    yield "another leaf", _refused(lambda: decrypt.Ratchet.unwrap(head, leaf + 1, secret), failed)
    stranger = X25519PrivateKey.from_private_bytes(b"\x09" * 32)
    yield "another identity", decrypt.Ratchet.unwrap(head, leaf, stranger) is None
    header, body = stored[0]
    first = decrypt.Ratchet(dek).next()
    yield "a flipped tag", _refused(lambda: decrypt.open_body(first, header, body[:-1] + bytes([body[-1] ^ 1])), failed)
    yield "another header", _refused(lambda: decrypt.open_body(first, _header(1, 99), body), failed)
    for n in range(len(wrapped)):
        bad = wrapped[:n] + bytes([wrapped[n] ^ 1]) + wrapped[n + 1 :]
        if not _refused(lambda b=bad: age.decrypt(b, secret), age.AgeError):
            yield f"an age file with byte {n} flipped", False
        if not _refused(lambda b=wrapped[:n]: age.decrypt(b, secret), age.AgeError):
            yield f"an age file cut at {n}", False
    long = bytes(range(256)) * 300
    sealed = age.encrypt(long, [public], other, b"\x01" * 16, b"\x02" * 16)
    yield "an age file of two chunks", age.decrypt(sealed, secret) == long
    # RFC 5869, test case 1, by way of the commitment's HMAC.
    yield "HMAC", crypto.hmac_sha256(b"\x0b" * 20, b"Hi There").hex().startswith("b0344c61d8db38535ca8afceaf0bf12b")
    yield "numbers", u64(1) == b"\x01" + bytes(7)


def run(page):
    """What does not hold."""
    for part in (_page(page), _kept(page), _strict(), _encryption()):
        for what, holds in part:
            if not holds:
                yield what

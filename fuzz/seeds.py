"""First inputs for the journal's fuzz targets, cut out of the frozen journals: `python3 fuzz/seeds.py`, once per new form.

Writes into fuzz/corpus/TARGET; `cargo fuzz cmin TARGET` then leaves what covers something of its own.
"""

import glob
import hashlib
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../tests"))

from reader import frame as fr  # noqa: E402

FIXTURES = os.path.join(HERE, "../recorder/tests/fixtures/v1")


def put(target, data):
    path = os.path.join(HERE, "corpus", target)
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(path, hashlib.sha1(data).hexdigest()), "wb") as f:
        f.write(data)


def frames(data):
    at = 0
    while True:
        try:
            frame = fr.read(data, at)
        except fr.Damage:
            return
        if frame is None:
            return
        yield frame
        at = frame.end


for name in sorted(glob.glob(os.path.join(FIXTURES, "*/*/*/origin.note"))):
    with open(name, "rb") as f:
        put("note", f.read())
for name in sorted(glob.glob(os.path.join(FIXTURES, "*/*/*/seg-*.rj"))):
    with open(name, "rb") as f:
        data = f.read()
    for mode in range(3):
        put("segment", bytes([mode]) + data.rstrip(b"\0") + bytes(8))
    for frame in frames(data):
        put("frame", b"M" + data[frame.offset : frame.end])
        put("frame", frame.stored[: fr.HEADER])
        if frame.header.records:
            put("record", bytes([frame.header.compression]) + frame.body)
        else:
            put("seal", frame.body)

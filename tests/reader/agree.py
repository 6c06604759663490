"""Holds the second reader against frozen journals: `agree.py FIXTURES [--events DIR]`.

Each fixture has an expected.json (verdict, exit, findings by code, log and leaf, sessions, logs). With `--events`, DIR has
the other reader's records of each as NAME.ndjson. Exit 0: agreed on all; 1: told on what not; 69: a package is missing.
"""

import argparse
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

try:
    import cryptography  # noqa: F401
    import zstandard  # noqa: F401
except ImportError as missing:
    print(f"SKIPPED: {missing} (Debian: python3-cryptography python3-zstandard)")
    sys.exit(69)

from reader import events, selftest, verify  # noqa: E402


def told(report):
    out = report.json()
    findings = {json.dumps(f, sort_keys=True) for f in out["findings"]}
    out["findings"] = sorted(findings)
    return out


def wanted(expected):
    out = {key: expected[key] for key in ("verdict", "exit", "findings", "sessions", "logs")}
    out["findings"] = sorted(json.dumps(f, sort_keys=True) for f in out["findings"])
    return out


def differences(ours, theirs, path=""):
    """Where what we say differs from what they say; only what we say is compared."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            # Text that is no UTF-8 has its exact bytes beside it.
            if value is None and key + "_b64" in ours:
                continue
            if key == "argv_b64" and key not in theirs:
                import base64

                value = [base64.b64decode(a).decode() for a in value]
                yield from differences(value, theirs.get("argv"), f"{path}.argv")
                continue
            yield from differences(value, theirs.get(key), f"{path}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for n, (own, their) in enumerate(zip(ours, theirs)):
            yield from differences(own, their, f"{path}.{n}")
    elif ours != theirs:
        yield f"{path[1:]}: {ours!r} for {theirs!r}"


def compare(home, name, directory):
    path = os.path.join(home, name)
    with open(os.path.join(path, "expected.json"), encoding="utf-8") as f:
        expected = json.load(f)

    def there(part):
        part = os.path.join(path, part)
        return part if os.path.exists(part) else None

    stopped = expected["end"] == "stopped"
    anchors = list(filter(None, [there("anchors")]))
    given = (anchors, there("policy"), there("allowed_signers"))
    report = verify.verify(os.path.join(path, "journal"), there("origin.note"), stopped, there("spare"), *given)
    identity = there("identity")
    if identity:
        events.open_all(report, identity)
    ours, theirs = told(report), wanted(expected)
    wrong = [f"{key}: {ours[key]} for {theirs[key]}" for key in theirs if ours[key] != theirs[key]]
    if directory:
        with open(os.path.join(directory, name + ".ndjson"), encoding="utf-8") as f:
            theirs = [json.loads(line) for line in f]
        ours = list(events.events(report, identity))
        if len(ours) != len(theirs):
            wrong.append(f"{len(ours)} records for {len(theirs)}")
        for mine, other in zip(ours, theirs):
            wrong += [f"record {mine['seq']}: {d}" for d in differences(mine, other)]
    return wrong


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("fixtures")
    args.add_argument("--events")
    args = args.parse_args()
    page = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/journal-format.md")
    failed = [("self-test", why) for why in selftest.run(page)]
    names = sorted(n for n in os.listdir(args.fixtures) if os.path.isdir(os.path.join(args.fixtures, n)))
    for name in names:
        failed += [(name, why) for why in compare(args.fixtures, name, args.events)]
    for name, why in failed:
        print(f"{name}: {why}")
    print(f"{len(names)} fixtures, {len({name for name, _ in failed})} disagree")
    return 1 if failed or not names else 0


if __name__ == "__main__":
    sys.exit(main())

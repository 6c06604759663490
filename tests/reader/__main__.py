"""`python3 -m reader verify|events JOURNAL` (in tests/). Exit codes are the recorder's."""

import argparse
import json
import sys

from . import events, verify


def main():
    top = argparse.ArgumentParser(prog="reader", description=__doc__)
    top.add_argument("command", choices=["verify", "events"])
    top.add_argument("journal")
    top.add_argument("--origin")
    top.add_argument("--spare")
    top.add_argument("--end", choices=["anchored", "stopped"], default="anchored")
    top.add_argument("--identity", help="an age identity: a file with a line AGE-SECRET-KEY-1…")
    top.add_argument("--anchor", action="append", default=[], help="checkpoints that were kept elsewhere")
    top.add_argument("--policy", help="a tlog-policy: who had to sign them")
    top.add_argument("--allowed-signers", help="who may sign permits")
    args = top.parse_args()
    try:
        given = (args.anchor, args.policy, args.allowed_signers)
        report = verify.verify(args.journal, args.origin, args.end == "stopped", args.spare, *given)
        if args.command == "verify":
            if args.identity:
                events.open_all(report, args.identity)
            json.dump(report.json(), sys.stdout)
            print()
        else:
            for event in events.events(report, args.identity):
                print(json.dumps(event, ensure_ascii=False))
    except OSError as e:
        print(f"reader: {e}", file=sys.stderr)
        return 74
    return report.exit


sys.exit(main())

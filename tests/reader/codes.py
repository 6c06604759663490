"""What each finding means for the verdict (page: Verdicts)."""

GAPS = set(
    "ORIGIN_UNCHECKED END_UNPROVEN EXPIRED PERMIT_UNCHECKED WITNESSES_SHORT HOOK_DEAD SLEW SUSPEND UNCLEAN_END "
    "UNSEALED_TAIL RESUME RESTART FAULT_RESTART LOSS JUMP GAP CONTROL_UNREADABLE".split()
)
INCOMPLETE = set("ROLLED_BACK SEGMENT_MISSING SEGMENT_CUT LOG_MISSING ORIGIN_MISSING RECOVERY_KEY_MISSING".split())
UNTRUSTED = set("ORIGIN_MISMATCH FOREIGN_LOG ANCHOR_INVALID PERMIT_INVALID".split())


def exit_of(code):
    if code == "ENCRYPTION_OFF":
        return 0
    if code in GAPS:
        return 1
    if code in INCOMPLETE:
        return 3
    if code in UNTRUSTED:
        return 4
    return {"UNSUPPORTED_VERSION": 5, "DECRYPT_FAILED": 6}.get(code, 2)


def is_tampering(code):
    return exit_of(code) == 2

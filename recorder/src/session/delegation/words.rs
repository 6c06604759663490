//! Which calls ask for something, which sockets do something for anybody: the words of D-Bus and of systemd.

use super::dbus::Call;

/// Calls that ask and change nothing.
pub(super) fn is_question(call: &Call) -> bool {
    const QUIET: [&str; 8] =
        ["Get", "List", "Subscribe", "Unsubscribe", "Introspect", "LookUp", "Find", "Dump"];
    let own = ["org.freedesktop.DBus", "org.freedesktop.DBus.Properties", "org.freedesktop.DBus.Peer"];
    let ask = QUIET.iter().any(|word| call.member.starts_with(word)) || call.member.starts_with("Load");
    let is_bus = call.destination == "org.freedesktop.DBus" || own.contains(&call.interface.as_str());
    ask || (is_bus && call.member != "Set" && call.member != "StartServiceByName")
}

pub(super) fn is_manager(call: &Call) -> bool {
    call.interface.starts_with("org.freedesktop.systemd1.") || call.destination == "org.freedesktop.systemd1"
}

pub(super) fn starts(member: &str) -> bool {
    member == "StartTransientUnit"
        || member == "EnqueueUnitJob"
        || ((member.starts_with("Start") || member.contains("Restart")) && member.contains("Unit"))
}

/// systemd.unit(5): the types.
pub(super) fn is_unit(text: &str) -> bool {
    const TYPES: [&str; 11] = [
        "service",
        "socket",
        "device",
        "mount",
        "automount",
        "swap",
        "target",
        "path",
        "timer",
        "slice",
        "scope",
    ];
    let of_name = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    text.len() < 256
        && text.bytes().all(of_name)
        && text.rsplit_once('.').is_some_and(|(stem, kind)| !stem.is_empty() && TYPES.contains(&kind))
}

/// The names in a control group's path, the innermost first. A slice counts as the innermost only: what lies in it is not the slice.
pub(super) fn units_of(cgroup: &str) -> impl Iterator<Item = &str> {
    let is_slice = |part: &str| part.rsplit_once('.').is_some_and(|(_, kind)| kind == "slice");
    let parts = cgroup.rsplit('/').enumerate().filter(move |(n, part)| *n == 0 || !is_slice(part));
    // systemd puts a _ before names that a controller has.
    parts.map(|(_, part)| part.strip_prefix('_').unwrap_or(part))
}

/// Units through which people log in, or that run jobs of everybody: what such a daemon starts is other people's work, whoever had
/// it started or changed its unit.
pub(super) fn lets_people_in(unit: &str) -> bool {
    const STEMS: [&str; 18] = [
        "ssh",
        "sshd",
        "dropbear",
        "telnet",
        "getty",
        "serial-getty",
        "console-getty",
        "container-getty",
        "user",
        "user-runtime-dir",
        "systemd-logind",
        "systemd-user-sessions",
        "display-manager",
        "gdm",
        "cockpit",
        "cron",
        "crond",
        "atd",
    ];
    let stem = unit.split(['.', '@']).next().unwrap_or(unit);
    STEMS.contains(&stem) || stem.starts_with("session-")
}

/// Sockets of managers: what is handed to them is for what they start, and everybody's work is below them.
pub(super) fn is_of_managers(name: &[u8]) -> bool {
    let of_user = |end: &[u8]| name.starts_with(b"/run/user/") && name.ends_with(end);
    [&b"/run/systemd/"[..], b"/run/dbus/", b"/var/run/dbus/"].iter().any(|dir| name.starts_with(dir))
        || of_user(b"/bus")
        || of_user(b"/systemd/private")
}

/// Sockets that everybody speaks to all the time and that do nothing for anybody.
pub(super) fn is_everyday(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 9] = [
        b"/dev/log",
        b"/run/nscd/socket",
        b"/var/run/nscd/socket",
        b"/run/systemd/notify",
        b"/run/systemd/userdb/",
        b"/run/systemd/journal/",
        b"/run/systemd/private",
        b"/run/dbus/system_bus_socket",
        b"/var/run/dbus/system_bus_socket",
    ];
    name.first() == Some(&0) || NAMES.iter().any(|known| name.starts_with(known))
}

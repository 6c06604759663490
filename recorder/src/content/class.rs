//! What a change means for the host, by where it lies and what lies there.

use super::rules::{Rules, matches};
use crate::model::{Class, Found};

const S_ISUID: u32 = 0o4000;
const S_ISGID: u32 = 0o2000;
/// Execution by the group: without it the set-group-id bit means something else.
const S_IXGRP: u32 = 0o010;
const S_IXUGO: u32 = 0o111;

/// By path; a pattern's `*` also matches `/`. The first that matches counts.
const PATHS: &[(&str, Class)] = &[
    ("*/.ssh/authorized_keys", Class::AuthorizedKeys),
    ("*/.ssh/authorized_keys2", Class::AuthorizedKeys),
    ("/etc/ssh/authorized_keys*", Class::AuthorizedKeys),
    ("/etc/ssh/sshd_config", Class::Sshd),
    ("/etc/ssh/sshd_config.d/*", Class::Sshd),
    ("/etc/systemd/*", Class::Unit),
    ("/run/systemd/system/*", Class::Unit),
    ("/run/systemd/transient/*", Class::Unit),
    ("/lib/systemd/*", Class::Unit),
    ("/usr/lib/systemd/*", Class::Unit),
    ("/usr/local/lib/systemd/*", Class::Unit),
    ("*/.config/systemd/user/*", Class::Unit),
    ("*/.local/share/systemd/user/*", Class::Unit),
    ("/etc/crontab", Class::Cron),
    ("/etc/anacrontab", Class::Cron),
    ("/etc/cron.*", Class::Cron),
    ("/var/spool/cron/*", Class::Cron),
    ("/var/spool/at/*", Class::Cron),
    ("/etc/sudoers", Class::Sudoers),
    ("/etc/sudoers.d/*", Class::Sudoers),
    ("/etc/sudo.conf", Class::Sudoers),
    ("/etc/pam.conf", Class::Pam),
    ("/etc/pam.d/*", Class::Pam),
    ("/etc/security/*", Class::Pam),
    ("*/security/pam_*.so", Class::Pam),
    ("/etc/passwd", Class::Passwd),
    ("/etc/passwd-", Class::Passwd),
    ("/etc/shadow", Class::Passwd),
    ("/etc/shadow-", Class::Passwd),
    ("/etc/group", Class::Passwd),
    ("/etc/group-", Class::Passwd),
    ("/etc/gshadow", Class::Passwd),
    ("/etc/gshadow-", Class::Passwd),
    ("/etc/subuid", Class::Passwd),
    ("/etc/subgid", Class::Passwd),
    ("/etc/ld.so.preload", Class::Preload),
    ("/etc/ld.so.conf", Class::Preload),
    ("/etc/ld.so.conf.d/*", Class::Preload),
    ("/etc/profile", Class::Profile),
    ("/etc/profile.d/*", Class::Profile),
    ("/etc/bash.bashrc", Class::Profile),
    ("/etc/bashrc", Class::Profile),
    ("/etc/zsh/*", Class::Profile),
    ("/etc/environment", Class::Profile),
    ("*/.bashrc", Class::Profile),
    ("*/.bash_profile", Class::Profile),
    ("*/.bash_login", Class::Profile),
    ("*/.bash_logout", Class::Profile),
    ("*/.profile", Class::Profile),
    ("*/.zshrc", Class::Profile),
    ("*/.zshenv", Class::Profile),
    ("*/.zprofile", Class::Profile),
    ("/etc/modules", Class::Modules),
    ("/etc/modules-load.d/*", Class::Modules),
    ("/etc/modprobe.d/*", Class::Modules),
    ("/lib/modules/*", Class::Modules),
    ("/usr/lib/modules/*", Class::Modules),
    ("/etc/udev/*", Class::Udev),
    ("/run/udev/rules.d/*", Class::Udev),
    ("/lib/udev/rules.d/*", Class::Udev),
    ("/usr/lib/udev/rules.d/*", Class::Udev),
];

/// What a change of this file means.
pub(super) fn class(path: &[u8], before: Option<&Found>, after: Option<&Found>, rules: &Rules) -> Class {
    if rules.is_own(path) {
        return Class::Recorder;
    }
    if after.is_some_and(gives_rights) && !before.is_some_and(gives_rights) {
        return Class::Setuid;
    }
    by_path(path)
}

/// By path alone.
pub(super) fn by_path(path: &[u8]) -> Class {
    let known = PATHS.iter().find(|(pattern, _)| matches(pattern.as_bytes(), path));
    known.map_or(Class::None, |(_, class)| *class)
}

/// True of an executable that runs with other rights than its caller's.
fn gives_rights(found: &Found) -> bool {
    let mode = found.mode;
    let by_mode = mode & S_ISUID != 0 || mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP;
    mode & S_IXUGO != 0 && (by_mode || found.caps != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Bytes;

    #[test]
    fn paths_have_their_class() {
        let rules = Rules {
            own: vec![Bytes::from("/etc/recorder"), Bytes::from("/usr/bin/recorder")],
            ..Rules::default()
        };
        for (path, want) in [
            ("/root/.ssh/authorized_keys", Class::AuthorizedKeys),
            ("/home/a/.ssh/authorized_keys", Class::AuthorizedKeys),
            ("/home/a/.ssh/known_hosts", Class::None),
            ("/etc/systemd/system/x.service", Class::Unit),
            ("/etc/systemd/system/x.service.d/over.conf", Class::Unit),
            ("/home/a/.config/systemd/user/x.service", Class::Unit),
            ("/etc/cron.d/x", Class::Cron),
            ("/etc/crontab", Class::Cron),
            ("/var/spool/cron/crontabs/root", Class::Cron),
            ("/etc/sudoers", Class::Sudoers),
            ("/etc/sudoers.d/90-x", Class::Sudoers),
            ("/etc/pam.d/sshd", Class::Pam),
            ("/etc/shadow", Class::Passwd),
            ("/etc/passwd", Class::Passwd),
            ("/etc/passwd.dpkg-new", Class::None),
            ("/etc/ld.so.preload", Class::Preload),
            ("/etc/profile.d/x.sh", Class::Profile),
            ("/root/.bashrc", Class::Profile),
            ("/etc/ssh/sshd_config", Class::Sshd),
            ("/etc/ssh/sshd_config.d/x.conf", Class::Sshd),
            ("/etc/ssh/ssh_config", Class::None),
            ("/etc/modprobe.d/x.conf", Class::Modules),
            ("/etc/udev/rules.d/99-x.rules", Class::Udev),
            ("/etc/recorder/recorder.toml", Class::Recorder),
            ("/usr/bin/recorder", Class::Recorder),
            ("/usr/bin/recorder2", Class::None),
            ("/etc/hosts", Class::None),
        ] {
            assert_eq!(class(path.as_bytes(), None, None, &rules), want, "{path}");
        }
    }

    #[test]
    fn rights_count_where_they_are_new() {
        let rules = Rules::default();
        let with = |mode: u32, caps: u8| Found { mode: 0o100_000 | mode, caps, ..Found::default() };
        let of = |before: Option<Found>, after: Found| class(b"/x", before.as_ref(), Some(&after), &rules);
        assert_eq!(of(None, with(0o4755, 0)), Class::Setuid);
        assert_eq!(of(Some(with(0o755, 0)), with(0o2755, 0)), Class::Setuid);
        assert_eq!(of(Some(with(0o4755, 0)), with(0o4755, 0)), Class::None);
        assert_eq!(of(None, with(0o755, 1)), Class::Setuid);
        assert_eq!(of(None, with(0o2644, 0)), Class::None, "mandatory locking, not rights");
        assert_eq!(of(None, with(0o4644, 0)), Class::None, "nobody can run it");
    }
}

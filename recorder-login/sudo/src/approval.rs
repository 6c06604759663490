//! What the plugin does, without C: which question follows from what sudo says.

use recorder_ask::{Answer, Caller, Decision, MAX_ARGS, May, Options, ROOT, guarded};

/// What is known when the plugin is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) options: Options,
    /// Who called sudo, by sudo.
    user: Option<Vec<u8>>,
    /// A group was asked for by name.
    has_group: bool,
    token: Option<Vec<u8>>,
}

impl Opened {
    pub(crate) fn new(
        options: Options,
        settings: &[&[u8]],
        user_info: &[&[u8]],
        environment: &[&[u8]],
    ) -> Self {
        let own = |value: &[u8]| value.to_vec();
        Self {
            options,
            user: value(user_info, b"user=").map(own),
            has_group: value(settings, b"runas_group=").is_some(),
            // The person's environment as it was; sudo's getenv(3) gives the one that it has cleaned for the command.
            token: value(environment, b"RECORDER_TOKEN=").map(own),
        }
    }

    /// Asks about one command.
    pub(crate) fn check(
        &self,
        caller: &Caller,
        command_info: &[&[u8]],
        argv: &[&[u8]],
        ask: impl FnOnce(&Options, &str) -> Answer,
    ) -> Decision {
        // Who logged in; where nobody did, who called.
        let account = caller.account.as_deref().or(self.user.as_deref()).unwrap_or_default();
        let answer = guarded(Answer::NoRecorder("panic".to_owned()), || {
            let target = self.target(command_info);
            // Grants speak of the resolved path, never of the name that the caller chose.
            let command = value(command_info, b"command=").or(argv.first().copied());
            let argv: Vec<&[u8]> = command.into_iter().chain(argv.iter().skip(1).copied()).collect();
            let may = May {
                account,
                target: Some(&target),
                argv: Some(&argv),
                audit_session: caller.audit_session,
                token: self.token.as_deref(),
            };
            ask(&self.options, &may.json())
        });
        self.options.decide(answer, account)
    }

    /// Whose rights the command gets. Anything with uid 0 is root; so is a group (`-g`), because the right to a group
    /// (disk, docker, shadow) has no name in a grant and may be as much as root's.
    fn target(&self, command_info: &[&[u8]]) -> Vec<u8> {
        let number = |key: &[u8]| {
            value(command_info, key).and_then(|text| str::from_utf8(text).ok()?.parse::<u32>().ok())
        };
        let uids = [number(b"runas_uid="), number(b"runas_euid=")];
        if self.has_group || uids.contains(&Some(0)) {
            return ROOT.to_vec();
        }
        // sudo runs a command as root if the policy names no uid.
        let [Some(uid), _] = uids else { return ROOT.to_vec() };
        value(command_info, b"runas_user=").map_or_else(|| Caller::name(uid), <[u8]>::to_vec)
    }
}

/// The first value with this key in a list of `key=value`.
fn value<'a>(list: &[&'a [u8]], key: &[u8]) -> Option<&'a [u8]> {
    list.iter().find_map(|entry| entry.strip_prefix(key))
}

/// Entries of a list that are looked at; one more than is sent, so that a cut shows.
pub(crate) const MAX_ENTRIES: usize = MAX_ARGS + 1;

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: &[&[u8]] = &[b"user=anna", b"pid=1"];
    const AS_ROOT: &[&[u8]] = &[b"command=/usr/bin/id", b"runas_uid=0", b"runas_gid=0"];

    fn anna() -> Caller {
        Caller { account: Some(b"anna".to_vec()), audit_session: Some(3) }
    }

    fn asked(opened: &Opened, caller: &Caller, command_info: &[&[u8]], argv: &[&[u8]]) -> String {
        let mut text = String::new();
        let decision = opened.check(caller, command_info, argv, |_, question| {
            text.push_str(question);
            Answer::Allow(Vec::new())
        });
        assert!(decision.allowed);
        text
    }

    #[test]
    fn the_resolved_path_and_the_arguments_are_asked_about() {
        let text = asked(&Opened::default(), &anna(), AS_ROOT, &[b"id", b"-u"]);
        assert!(
            text.contains(
                "\"account\":\"anna\",\"target\":\"root\",\"argv\":[\"/usr/bin/id\",\"-u\"],\"audit_session\":3"
            ),
            "{text}"
        );
    }

    #[test]
    fn the_target_is_the_users_name_and_root_whenever_in_doubt() {
        let target = |settings: &[&[u8]], info: &[&[u8]]| {
            let opened = Opened::new(Options::default(), settings, ANNA, &[]);
            String::from_utf8(opened.target(info)).unwrap()
        };
        assert_eq!(target(&[], &[b"runas_uid=5000", b"runas_user=postgres"]), "postgres");
        assert_eq!(target(&[], &[b"runas_uid=4000000000"]), "#4000000000");
        assert_eq!(target(&[], &[b"runas_uid=0", b"runas_user=toor"]), "root");
        assert_eq!(target(&[], &[b"runas_uid=5000", b"runas_euid=0"]), "root");
        assert_eq!(target(&[], &[]), "root");
        assert_eq!(target(&[], &[b"runas_uid=many"]), "root");
        assert_eq!(target(&[b"runas_group=disk"], &[b"runas_uid=5000"]), "root");
    }

    #[test]
    fn the_token_is_that_of_the_person() {
        let environment: &[&[u8]] = &[b"HOME=/", b"RECORDER_TOKEN=QUJD"];
        let opened = Opened::new(Options::default(), &[], ANNA, environment);
        assert!(asked(&opened, &anna(), AS_ROOT, &[b"id"]).contains("\"token\":\"QUJD\""));
    }

    #[test]
    fn without_a_login_it_is_who_called() {
        let opened = Opened::new(Options::default(), &[], &[b"user=backup"], &[]);
        assert!(asked(&opened, &Caller::default(), AS_ROOT, &[b"id"]).contains("\"account\":\"backup\""));
        assert!(asked(&opened, &anna(), AS_ROOT, &[b"id"]).contains("\"account\":\"anna\""));
    }

    #[test]
    fn no_arguments_at_all_are_no_panic() {
        assert!(asked(&Opened::default(), &anna(), &[], &[]).contains("\"argv\":[]"));
    }

    #[test]
    fn a_panic_while_asking_is_no_recorder() {
        let options = |words: &[&[u8]]| Options::parse(words.iter().copied());
        let dir = tempfile::tempdir().unwrap();
        let socket = format!("socket={}/s", dir.path().display());
        let open = Opened::new(options(&[socket.as_bytes()]), &[], ANNA, &[]);
        assert!(open.check(&anna(), AS_ROOT, &[], |_, _| panic!("inside")).allowed);
        let closed = Opened::new(options(&[b"fail_closed"]), &[], ANNA, &[]);
        assert!(!closed.check(&anna(), AS_ROOT, &[], |_, _| panic!("inside")).allowed);
    }
}

//! What the module does, without C: which service asks what, and what is shown.

use std::{
    ffi::{CStr, c_int},
    process,
};

use recorder_ask::{Answer, Caller, Login, May, Options, TOKEN, guarded, log, started_with};

/// The stack goes on without us (Linux-PAM, _pam_types.h).
pub(crate) const PAM_IGNORE: c_int = 25;
const PAM_PERM_DENIED: c_int = 6;

const AUTH_INFO: &CStr = c"SSH_AUTH_INFO_0";

/// A text of the PAM handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Service,
    User,
    Tty,
    RemoteHost,
    RemoteUser,
}

impl Item {
    #[cfg_attr(test, expect(dead_code, reason = "only libpam needs it"))]
    pub(crate) fn number(self) -> c_int {
        match self {
            Self::Service => 1,
            Self::User => 2,
            Self::Tty => 3,
            Self::RemoteHost => 4,
            Self::RemoteUser => 8,
        }
    }
}

/// How a line is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Error,
    Info,
}

impl Style {
    #[cfg_attr(test, expect(dead_code, reason = "only libpam needs it"))]
    pub(crate) fn number(self) -> c_int {
        match self {
            Self::Error => 3,
            Self::Info => 4,
        }
    }
}

/// The program that loaded us.
pub(crate) trait Host {
    fn item(&self, item: Item) -> Option<Vec<u8>>;
    /// PAM's environment, which becomes that of the session.
    fn environment(&self, name: &CStr) -> Option<Vec<u8>>;
    fn say(&self, style: Style, line: &str);
}

/// What a service is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    /// Asks at its account phase, where the target is not known: PAM_USER is who called sudo until the session begins.
    Sudo,
    /// Asks at its account phase; PAM_USER is whom he wants to be.
    Su,
    /// A login, which is no elevation: never refused, told when its session begins.
    Login,
}

impl Service {
    fn of(name: &[u8]) -> Self {
        match name {
            b"sudo" | b"sudo-i" => Self::Sudo,
            b"su" | b"su-l" => Self::Su,
            _ => Self::Login,
        }
    }
}

/// The account phase: a refusal, or nothing.
pub(crate) fn account(
    host: &impl Host,
    options: &Options,
    caller: &Caller,
    ask: impl FnOnce(&str) -> Answer,
) -> c_int {
    let service = Service::of(&host.item(Item::Service).unwrap_or_default());
    let target = match service {
        Service::Login => return PAM_IGNORE,
        Service::Sudo => None,
        Service::Su => host.item(Item::User).map(|name| Caller::canonical(&name)),
    };
    // Who logged in; where nobody did (a service, a container without audit) who called, as the program itself saw it.
    let account = caller.account.clone().or_else(|| host.item(Item::RemoteUser)).unwrap_or_default();
    let answer = guarded(Answer::NoRecorder("panic".to_owned()), || {
        let token = host.environment(TOKEN).or_else(|| started_with(TOKEN));
        let may = May {
            account: &account,
            target: target.as_deref(),
            argv: None,
            audit_session: caller.audit_session,
            token: token.as_deref(),
        };
        ask(&may.json())
    });
    let decision = options.decide(answer, &account);
    for line in &decision.lines {
        // Not Style::Info: su and sudo print that on standard output, which belongs to the command.
        host.say(Style::Error, line);
    }
    if decision.allowed { PAM_IGNORE } else { PAM_PERM_DENIED }
}

/// The session phase: who logs in, with which key. Nothing that happens here stops a login.
pub(crate) fn session(
    host: &impl Host,
    options: &Options,
    caller: &Caller,
    ask: impl FnOnce(&str) -> Answer,
) -> c_int {
    let service = host.item(Item::Service).unwrap_or_default();
    if Service::of(&service) != Service::Login {
        return PAM_IGNORE;
    }
    let Some(account) = host.item(Item::User) else { return PAM_IGNORE };
    let (remote, tty) = (host.item(Item::RemoteHost), host.item(Item::Tty));
    let auth_info = host.environment(AUTH_INFO);
    let login = Login {
        account: &account,
        service: Some(&service),
        remote: remote.as_deref(),
        tty: tty.as_deref(),
        auth_info: auth_info.as_deref(),
        pid: process::id(),
        audit_session: caller.audit_session,
    };
    match ask(&login.json()) {
        answer @ Answer::Allow(_) => {
            for line in options.decide(answer, &account).lines {
                host.say(Style::Info, &line);
            }
        }
        Answer::Deny(_) => log("the recorder refused a login, which it can't"),
        Answer::NoRecorder(_) => {}
    }
    PAM_IGNORE
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, collections::BTreeMap};

    use super::*;

    #[derive(Default)]
    struct Fake {
        items: Vec<(Item, &'static str)>,
        pam: BTreeMap<&'static CStr, &'static str>,
        said: RefCell<Vec<(Style, String)>>,
    }

    impl Host for Fake {
        fn item(&self, item: Item) -> Option<Vec<u8>> {
            self.items.iter().find(|(key, _)| *key == item).map(|(_, value)| value.as_bytes().to_vec())
        }
        fn environment(&self, name: &CStr) -> Option<Vec<u8>> {
            self.pam.get(name).map(|value| value.as_bytes().to_vec())
        }
        fn say(&self, style: Style, line: &str) {
            self.said.borrow_mut().push((style, line.to_owned()));
        }
    }

    fn anna() -> Caller {
        Caller { account: Some(b"anna".to_vec()), audit_session: Some(3) }
    }

    fn service(name: &'static str) -> Fake {
        Fake { items: vec![(Item::Service, name), (Item::User, "bert")], ..Fake::default() }
    }

    /// The account phase with this answer: what it returned and what was asked.
    fn account_phase(host: &Fake, caller: &Caller, words: &[&[u8]], answer: Answer) -> (c_int, String) {
        let mut asked = String::new();
        let options = Options::parse(words.iter().copied());
        let code = account(host, &options, caller, |question| {
            asked.push_str(question);
            answer
        });
        (code, asked)
    }

    fn lines() -> Vec<String> {
        vec!["one".to_owned(), "two".to_owned()]
    }

    #[test]
    fn su_asks_for_its_target() {
        let host = service("su-l");
        let (code, asked) = account_phase(&host, &anna(), &[], Answer::Allow(lines()));
        assert_eq!(code, PAM_IGNORE);
        assert!(
            asked.contains("\"op\":\"may\"") && asked.contains("\"account\":\"anna\",\"target\":\"bert\"")
        );
        assert!(asked.contains("\"argv\":null,\"audit_session\":3,\"token\":null"), "{asked}");
        assert_eq!(host.said.take(), [(Style::Error, "one".to_owned()), (Style::Error, "two".to_owned())]);
    }

    #[test]
    fn sudo_does_not_take_the_caller_for_the_target() {
        for name in ["sudo", "sudo-i"] {
            let (_, asked) = account_phase(&service(name), &anna(), &[], Answer::Allow(lines()));
            assert!(asked.contains("\"account\":\"anna\",\"target\":null"), "{asked}");
        }
    }

    #[test]
    fn a_refusal_is_shown_and_enforced() {
        let host = service("sudo");
        let (code, _) = account_phase(&host, &anna(), &[b"quiet"], Answer::Deny(lines()));
        assert_eq!(code, PAM_PERM_DENIED);
        assert_eq!(host.said.take().len(), 2);
    }

    #[test]
    fn no_recorder_is_no_hindrance_unless_it_fails_closed() {
        let nobody = || Answer::NoRecorder(String::new());
        let dir = tempfile::tempdir().unwrap();
        let socket = format!("socket={}/s", dir.path().display());
        let (code, _) = account_phase(&service("sudo"), &anna(), &[socket.as_bytes()], nobody());
        assert_eq!(code, PAM_IGNORE);
        let (code, _) = account_phase(&service("sudo"), &anna(), &[b"fail_closed"], nobody());
        assert_eq!(code, PAM_PERM_DENIED);
    }

    #[test]
    fn a_login_is_not_asked_about() {
        for name in ["sshd", "login", "cron", ""] {
            let (code, asked) = account_phase(&service(name), &anna(), &[], Answer::Deny(lines()));
            assert_eq!((code, asked.as_str()), (PAM_IGNORE, ""), "{name}");
        }
    }

    #[test]
    fn a_token_comes_from_pams_environment() {
        let mut host = service("su");
        host.pam.insert(TOKEN, "of pam");
        let (_, asked) = account_phase(&host, &anna(), &[], Answer::Allow(lines()));
        assert!(asked.contains("\"token\":\"of pam\""), "{asked}");
    }

    #[test]
    fn without_a_login_it_is_who_called() {
        let mut host = service("su");
        host.items.push((Item::RemoteUser, "backup"));
        let (_, asked) = account_phase(&host, &Caller::default(), &[], Answer::Allow(lines()));
        assert!(
            asked.contains("\"account\":\"backup\"") && asked.contains("\"audit_session\":null"),
            "{asked}"
        );
        let (_, asked) = account_phase(&host, &anna(), &[], Answer::Allow(lines()));
        assert!(asked.contains("\"account\":\"anna\""), "{asked}");
    }

    #[test]
    fn a_panic_while_asking_is_no_recorder() {
        let host = service("sudo");
        let options = Options::parse([b"fail_closed".as_slice()]);
        let code = account(&host, &options, &anna(), |_| panic!("inside"));
        assert_eq!(code, PAM_PERM_DENIED);
    }

    #[test]
    fn a_login_is_told_with_its_key() {
        let mut host = service("sshd");
        host.items.extend([(Item::RemoteHost, "192.0.2.7"), (Item::Tty, "ssh")]);
        host.pam.insert(AUTH_INFO, "publickey ssh-ed25519 AAAA\n");
        for answer in [Answer::Allow(lines()), Answer::Deny(lines()), Answer::NoRecorder(String::new())] {
            let mut asked = String::new();
            let options = Options::parse([b"fail_closed".as_slice()]);
            let code = session(&host, &options, &anna(), |question| {
                asked.push_str(question);
                answer
            });
            assert_eq!(code, PAM_IGNORE);
            assert!(
                asked.contains("\"op\":\"login\",\"plain\":true,\"account\":\"bert\",\"service\":\"sshd\"")
            );
            assert!(asked.contains("\"remote\":\"192.0.2.7\",\"tty\":\"ssh\""), "{asked}");
            assert!(asked.contains("\"auth_info\":\"publickey ssh-ed25519 AAAA\\u000a\""), "{asked}");
            assert!(asked.contains(&format!("\"pid\":{},\"audit_session\":3", process::id())), "{asked}");
        }
        assert_eq!(host.said.take(), [(Style::Info, "one".to_owned()), (Style::Info, "two".to_owned())]);
    }

    #[test]
    fn sessions_of_sudo_and_su_are_no_logins() {
        for name in ["sudo", "sudo-i", "su", "su-l"] {
            let code = session(&service(name), &Options::default(), &anna(), |_| panic!("asked"));
            assert_eq!(code, PAM_IGNORE);
        }
    }
}

//! Whether somebody may: the decision that PAM and sudo ask for. What is recorded later is judged again, by what the
//! kernel saw; this only spares people a refused beginning, or tells them.

use crate::{
    config::EnforcementKey,
    grant::{self, CommandLine, Wanted},
    model::{BootNanos, Bytes, Coverage, Digest, Exec, Uncovered},
    service::board::Ledger,
    sys::process,
};

/// What the configuration says about it.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) enforcement: EnforcementKey,
    /// Accounts that are never refused.
    pub(super) exempt: Vec<String>,
    /// For the line that says how to ask.
    pub(super) host: String,
}

/// What somebody wants.
#[derive(Clone, Debug)]
pub(super) struct Ask<'a> {
    /// Who logged in.
    pub(super) account: &'a str,
    pub(super) audit_session: u32,
    /// The grant of a token that was used for this, or why it was not; `None`: there was none.
    pub(super) token: Option<Result<Digest, &'a str>>,
    /// As whom; root if nothing is said.
    pub(super) target: Option<&'a str>,
    /// What as that user; `None`: any grant of his for this host and time will do.
    pub(super) wanted: Option<Wanted>,
}

/// The answer, with the line for the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Allow(Option<String>),
    Deny(String, Coverage),
}

/// What a command line as a user needs. Without the program's whole path no pattern of commands can be said to match.
pub(super) fn wanted(target: &str, argv: &[String]) -> Wanted {
    let number = target.strip_prefix('#').unwrap_or(target).parse().ok();
    // A name that only a directory service knows is not root: its id is not asked over a network.
    let uid = process::user_id(target).or(number).unwrap_or(u32::MAX);
    let line = argv.first().filter(|path| path.starts_with('/')).map_or_else(CommandLine::default, |path| {
        CommandLine::new(&Exec {
            path: Bytes::from(path.as_str()),
            argv: argv.iter().map(|word| Bytes::from(word.as_str())).collect(),
            ..Exec::default()
        })
    });
    Wanted { uid, user: Some(target.to_owned()), line }
}

/// Decides by the book as it is now. `ledger` is `None` if no grants are watched: then nothing covers anything.
pub(super) fn decide(rules: &Rules, ledger: Option<&Ledger>, ask: &Ask<'_>, now: BootNanos) -> Decision {
    if rules.enforcement == EnforcementKey::Observe || rules.exempt.iter().any(|a| a == ask.account) {
        return Decision::Allow(None);
    }
    let person = ledger.and_then(|ledger| ledger.person(ask.account, ask.audit_session));
    let coverage = ledger.map_or(Coverage::Uncovered { reason: Uncovered::Unattributed }, |ledger| {
        grant::coverage(&ledger.book, person, ask.wanted.iter(), ledger.clock.real(now))
    });
    let line = match coverage {
        Coverage::Uncovered { reason } => explain(rules, ask, person, reason),
        Coverage::Covered { grant } | Coverage::BreakGlass { grant } => {
            let takes = takes_token(ledger, ask, person, grant, now);
            match ask.token {
                Some(Ok(_)) => return Decision::Allow(None),
                None if !takes => return Decision::Allow(None),
                // What a token is for is said by it alone; one that is no good is told, even where none is needed.
                Some(Err(why)) if !takes => return Decision::Allow(Some(format!("recorder: {why}"))),
                Some(Err(why)) => format!("recorder: your grant takes a token for each use: {why}"),
                None => {
                    "recorder: your grant takes a token for each use: RECORDER_TOKEN=... sudo ...".to_owned()
                }
            }
        }
    };
    match rules.enforcement {
        EnforcementKey::Enforce => Decision::Deny(line, coverage),
        _ => Decision::Allow(Some(line)),
    }
}

/// True if this grant takes a token for each use, and no other one that takes none would do.
fn takes_token(
    ledger: Option<&Ledger>,
    ask: &Ask<'_>,
    person: Option<&str>,
    grant: Digest,
    now: BootNanos,
) -> bool {
    let (Some(ledger), Some(person)) = (ledger, person) else { return false };
    let fits = |grant: &grant::Grant| {
        let allows = |wanted: &Wanted| grant.request.privileges.iter().any(|p| p.allows(wanted));
        !grant.token && ask.wanted.as_ref().is_none_or(allows)
    };
    ledger.book.grant(&grant).is_some_and(|grant| grant.token)
        && !grant::allowing_now(&ledger.book, person, ledger.clock.real(now)).any(fits)
}

/// One line: what is missing, and how to ask for it.
fn explain(rules: &Rules, ask: &Ask<'_>, person: Option<&str>, reason: Uncovered) -> String {
    let host = &rules.host;
    let Some(person) = person else {
        return format!(
            "recorder: account {} is tied to no person here; log in with a key or certificate of your own",
            safe(ask.account)
        );
    };
    let why = match reason {
        Uncovered::WrongHost => format!("your grant is not for {host}"),
        Uncovered::WrongPrivilege => "your grant does not allow this".to_owned(),
        Uncovered::Early => "your grant has not begun".to_owned(),
        Uncovered::Late => "your grant is over".to_owned(),
        Uncovered::Revoked => "your grant was revoked".to_owned(),
        _ => format!("you have no grant for {host}"),
    };
    let privilege = match ask.target {
        None | Some("root") => "root".to_owned(),
        Some(user) => format!("user:{user}"),
    };
    let words = [("--person", person), ("--host", host), ("--privilege", &privilege)];
    let flags: Vec<String> =
        words.iter().map(|(flag, word)| format!("{flag} {}", quoted(&safe(word)))).collect();
    let what = if rules.enforcement == EnforcementKey::Enforce { "refused" } else { "not covered" };
    format!(
        "recorder: {what}: {why}; ask with: recorder grant request {} --for 2h --reason '...'",
        flags.join(" ")
    )
}

/// Names come from outside: they stay in their line.
fn safe(text: &str) -> String {
    Bytes::from(text).escaped()
}

/// As it can be typed in a shell.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        grant::{Book, Clock, Document, Policy, Verified},
        model::{ClockPair, Login, RealNanos},
        service::grants::Logins,
    };

    const HOUR: u64 = 3_600_000_000_000;
    /// 2026-11-21T00:00:00Z.
    const DAY: u64 = 1_795_219_200_000_000_000;

    fn ledger(policy: &str, documents: &[&str]) -> Ledger {
        let mut book = Book::new(Policy::parse(policy).unwrap(), "web-1");
        for (n, text) in documents.iter().enumerate() {
            let document = Document::parse(text.as_bytes()).unwrap();
            let principal = document.signer.clone();
            let key = format!("SHA256:{n}");
            book.insert(Verified { document, principal, key, received: RealNanos::new(DAY) });
        }
        let clock = Clock::new(ClockPair { boot: BootNanos::new(0), real: RealNanos::new(DAY) });
        Ledger { book: book.into(), clock, logins: Logins::default() }
    }

    const POLICY: &str = "[people.anna]\naccounts = [\"anna\", \"oncall\"]\n[people.bert]\naccounts = [\"oncall\"]\n\
        keys = [\"SHA256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"]\n\
        [[approve]]\napprovers = [\"boss\"]\npersons = [\"*\"]\nprivileges = [\"root\"]\n";

    fn request(person: &str, hosts: &str, privilege: &str) -> String {
        format!(
            "version = 1\nkind = \"request\"\nsigner = \"{person}\"\nmade = \"2026-11-21T00:00:00Z\"\n\
             nonce = \"00112233445566778899aabbccddeeff\"\nperson = \"{person}\"\nhosts = [\"{hosts}\"]\n\
             from = \"2026-11-21T01:00:00Z\"\nuntil = \"2026-11-21T02:00:00Z\"\nprivileges = [\"{privilege}\"]\nreason = \"disk\"\n"
        )
    }

    fn approval(request: &str) -> String {
        format!(
            "version = 1\nkind = \"approval\"\nsigner = \"boss\"\nmade = \"2026-11-21T00:00:00Z\"\n\
             nonce = \"00112233445566778899aabbccddeeff\"\nrequest = \"{}\"\n",
            Document::parse(request.as_bytes()).unwrap().id
        )
    }

    fn rules(enforcement: EnforcementKey) -> Rules {
        Rules { enforcement, exempt: vec!["root".into(), "rescue".into()], host: "web-1".into() }
    }

    fn ask<'a>(account: &'a str, target: &'a str, argv: Option<&[&str]>) -> Ask<'a> {
        let words = argv.map(|argv| argv.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        let wanted = words.map(|words| super::wanted(target, &words));
        Ask { account, audit_session: 7, token: None, target: Some(target), wanted }
    }

    fn denied(ledger: &Ledger, ask: &Ask<'_>, at: u64) -> Option<String> {
        match decide(&rules(EnforcementKey::Enforce), Some(ledger), ask, BootNanos::new(at)) {
            Decision::Deny(line, _) => Some(line),
            Decision::Allow(None) => None,
            Decision::Allow(Some(line)) => panic!("enforcement allows silently: {line}"),
        }
    }

    fn granted(hosts: &str, privilege: &str) -> Ledger {
        let request = request("anna", hosts, privilege);
        ledger(POLICY, &[&request, &approval(&request)])
    }

    #[test]
    fn a_grant_that_takes_tokens_allows_with_one_that_was_used() {
        let wish = request("anna", "*", "root").replace("reason =", "token = true\nreason =");
        let book = ledger(POLICY, &[&wish, &approval(&wish)]);
        let ask = |token| Ask { token, ..ask("anna", "root", None) };
        let line = denied(&book, &ask(None), HOUR * 3 / 2).unwrap();
        assert!(line.contains("takes a token"), "{line}");
        let line = denied(&book, &ask(Some(Err("the token was used before"))), HOUR * 3 / 2).unwrap();
        assert!(line.contains("used before"), "{line}");
        assert_eq!(denied(&book, &ask(Some(Ok(Digest::new([1; 32])))), HOUR * 3 / 2), None);
    }

    #[test]
    fn a_grant_of_the_person_for_host_time_and_privilege_allows() {
        let book = granted("web-*", "root");
        let shell = ask("anna", "root", Some(&["/usr/bin/bash"]));
        assert_eq!(denied(&book, &shell, HOUR * 3 / 2), None);
        for (at, why) in [(HOUR / 2, "has not begun"), (HOUR * 5 / 2, "is over")] {
            let line = denied(&book, &shell, at).unwrap();
            assert!(line.contains(why), "{line}");
        }
        let elsewhere = denied(&granted("db-*", "root"), &shell, HOUR * 3 / 2).unwrap();
        assert!(elsewhere.contains("not for web-1"), "{elsewhere}");
        let nothing = denied(&ledger(POLICY, &[]), &shell, HOUR).unwrap();
        assert_eq!(
            nothing,
            "recorder: refused: you have no grant for web-1; ask with: recorder grant request --person anna --host web-1 --privilege root --for 2h --reason '...'"
        );
    }

    #[test]
    fn a_command_is_compared_by_its_whole_path() {
        let book = granted("*", "command:systemctl restart *");
        let at = HOUR * 3 / 2;
        let restart = |path| ask("anna", "root", Some(&[path, "restart", "nginx"]));
        assert_eq!(denied(&book, &restart("/usr/bin/systemctl"), at), None);
        for path in ["systemctl", "./systemctl", "/tmp/systemctl", "/usr/bin/bash"] {
            let line = denied(&book, &restart(path), at).unwrap_or_else(|| panic!("{path} is allowed"));
            assert!(line.contains("does not allow this"), "{line}");
        }
        // Who only logs in wants nothing yet: any grant for this host and time will do.
        assert_eq!(denied(&book, &ask("anna", "anna", None), at), None);
        assert!(denied(&book, &ask("anna", "anna", None), HOUR / 2).is_some());
    }

    #[test]
    fn as_another_user_a_grant_for_that_user_is_enough_and_root_by_any_name_is_root() {
        let book = granted("*", "user:nobody");
        let at = HOUR * 3 / 2;
        assert_eq!(denied(&book, &ask("anna", "nobody", Some(&["/usr/bin/id"])), at), None);
        for target in ["root", "#0", "0", "daemon"] {
            assert!(denied(&book, &ask("anna", target, Some(&["/usr/bin/id"])), at).is_some(), "{target}");
        }
        let line = denied(&book, &ask("anna", "daemon", Some(&["/usr/bin/id"])), at).unwrap();
        assert!(line.contains("--privilege user:daemon"), "{line}");
    }

    #[test]
    fn a_shared_account_is_refused_until_the_key_is_known() {
        let request = request("bert", "*", "root");
        let mut book = ledger(POLICY, &[&request, &approval(&request)]);
        let shell = ask("oncall", "root", Some(&["/usr/bin/bash"]));
        let line = denied(&book, &shell, HOUR * 3 / 2).unwrap();
        assert!(line.contains("tied to no person"), "{line}");
        book.logins.take(Login {
            audit_session: 7,
            key: Bytes::from(format!("SHA256:{}", "b".repeat(43)).as_str()),
            ..Login::default()
        });
        assert_eq!(denied(&book, &shell, HOUR * 3 / 2), None);
        assert!(denied(&book, &Ask { audit_session: 8, ..shell }, HOUR * 3 / 2).is_some());
    }

    #[test]
    fn observe_is_silent_warn_only_tells_and_who_is_exempt_is_never_refused() {
        let book = ledger(POLICY, &[]);
        let now = BootNanos::new(HOUR);
        let shell = ask("anna", "root", None);
        let by = |key, ledger, ask: &Ask<'_>| decide(&rules(key), ledger, ask, now);
        assert_eq!(by(EnforcementKey::Observe, Some(&book), &shell), Decision::Allow(None));
        let Decision::Allow(Some(line)) = by(EnforcementKey::Warn, Some(&book), &shell) else {
            panic!("warn does not tell");
        };
        assert!(line.starts_with("recorder: not covered: you have no grant"), "{line}");
        for key in [EnforcementKey::Warn, EnforcementKey::Enforce] {
            assert_eq!(by(key, Some(&book), &ask("rescue", "root", None)), Decision::Allow(None));
        }
        assert!(matches!(by(EnforcementKey::Enforce, None, &shell), Decision::Deny(..)));
    }

    #[test]
    fn names_stay_in_their_line_and_can_be_typed() {
        let book = ledger("[people.\"a n'na\"]\naccounts = [\"x\"]\n", &[]);
        let line = denied(&book, &ask("x", "ev\nil", None), HOUR).unwrap();
        assert!(line.contains(r"--person 'a n'\''na'") && !line.contains('\n'), "{line}");
        assert!(!denied(&book, &ask("y\u{1b}[2J", "root", None), HOUR).unwrap().contains('\u{1b}'));
    }
}

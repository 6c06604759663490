//! Who may give what to whom on this host, who is who, and who may break the glass (docs/grants.md, "Policy file").
//!
//! The empty policy allows nothing: nobody may approve, nobody may break the glass, nobody is known.

mod file;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Import, Privilege, Request, Statement,
    pattern::{Case, contains, listed},
};

/// The longest window where the policy names none.
pub const DEFAULT_MAX_WINDOW: Duration = Duration::from_hours(8);

/// The longest window of a token where the policy names none.
pub const DEFAULT_TOKEN_MAX: Duration = Duration::from_mins(15);

/// Why a text is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not TOML.
    #[error("line {line}: {text}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        text: String,
    },
    /// Keys that do not exist, values that make no sense.
    #[error("{}", faults.join("; "))]
    Faults {
        /// Every fault with its key.
        faults: Vec<String>,
    },
}

/// Who may approve what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Patterns of the persons who may approve.
    pub approvers: Vec<String>,
    /// Patterns of the persons whom it may be for.
    pub persons: Vec<String>,
    /// Patterns of the hosts on which the rule exists at all.
    pub hosts: Vec<String>,
    /// Patterns of incident systems; empty: no incident is needed.
    pub incidents: Vec<String>,
    /// The most that may be approved; names and commands are patterns.
    pub privileges: Vec<Privilege>,
    /// How many different approvers it takes, at least 1.
    pub count: usize,
    /// Each use of what was approved under it takes a token.
    pub token: bool,
}

/// Whose certificates are approvals; the rule's approvers mean nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CertificateRule {
    /// Fingerprints of the authorities' keys.
    pub(super) authorities: Vec<String>,
    pub(super) rule: Rule,
}

/// Which approvals of other systems count here. The rule's approvers are the importers; its count may be 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImportRule {
    /// Patterns of systems.
    pub(super) systems: Vec<String>,
    pub(super) rule: Rule,
}

/// Who may issue tokens beside those who approved a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenRule {
    pub(super) issuers: Vec<String>,
    pub(super) persons: Vec<String>,
    pub(super) hosts: Vec<String>,
}

/// Who is who: accounts and keys of persons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct People {
    accounts: BTreeMap<String, BTreeSet<String>>,
    keys: BTreeMap<String, String>,
    certificate_ids: BTreeMap<String, String>,
}

/// The policy of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub(super) people: People,
    pub(super) rules: Vec<Rule>,
    pub(super) certificates: Vec<CertificateRule>,
    pub(super) imports: Vec<ImportRule>,
    pub(super) tokens: Vec<TokenRule>,
    pub(super) token_max: Duration,
    pub(super) max_window: Duration,
    pub(super) break_glass: Vec<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            people: People::default(),
            rules: Vec::new(),
            certificates: Vec::new(),
            imports: Vec::new(),
            tokens: Vec::new(),
            token_max: DEFAULT_TOKEN_MAX,
            max_window: DEFAULT_MAX_WINDOW,
            break_glass: Vec::new(),
        }
    }
}

impl Policy {
    /// Reads a policy; all faults that the text has are reported at once.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        file::parse(text)
    }

    /// Whose login it is. The first that is known decides: the key's fingerprint (`SHA256:…`), the certificate's key id,
    /// the account. An account that several persons share is nobody's.
    pub fn person_of(&self, account: &str, key: Option<&str>, certificate_id: Option<&str>) -> Option<&str> {
        let by_key = key.and_then(|key| self.people.keys.get(key));
        let by_certificate = || certificate_id.and_then(|id| self.people.certificate_ids.get(id));
        let by_account = || {
            let owners = self.people.accounts.get(account)?;
            owners.first().filter(|_| owners.len() == 1)
        };
        by_key.or_else(by_certificate).or_else(by_account).map(String::as_str)
    }

    /// Every account that belongs to somebody.
    pub fn accounts(&self) -> impl Iterator<Item = &str> {
        self.people.accounts.keys().map(String::as_str)
    }

    /// Which person a signature is of: the one the key belongs to here, else the principal that the list of signers
    /// gives. So a second name in that list makes no second person. A certificate's key id says nothing here: the list may
    /// trust an authority with one principal, and key ids are its own to choose.
    pub fn signer<'a>(&'a self, principal: &'a str, key: &str) -> &'a str {
        self.people.keys.get(key).map_or(principal, String::as_str)
    }

    /// The rules under which a request may be approved on a host, in the file's order.
    pub fn rules_for<'a>(&'a self, host: &'a str, request: &'a Request) -> impl Iterator<Item = &'a Rule> {
        self.rules.iter().filter(move |rule| rule.fits(host, request))
    }

    /// Whether a certificate by this authority is an approval of the request, and whether each use then takes a token.
    pub(super) fn authority_allows(&self, authority: &str, host: &str, request: &Request) -> Option<bool> {
        let known = |rule: &&CertificateRule| rule.authorities.iter().any(|known| known == authority);
        let rules = self.certificates.iter().filter(known).map(|rule| &rule.rule);
        rules.filter(|rule| rule.fits(host, request)).map(|rule| rule.token).min()
    }

    /// Whether what this importer brings in is approved, and whether each use then takes a token. Nobody imports for
    /// himself, and nobody approved his own.
    pub(super) fn import_allows(&self, importer: &str, host: &str, import: &Import) -> Option<bool> {
        let person = import.request.person.as_str();
        let others = import.approvers.iter().filter(|name| *name != person).collect::<BTreeSet<_>>().len();
        let fits = |found: &&ImportRule| {
            found.rule.approves(importer)
                && listed(&found.systems, &import.system, Case::Exact)
                && others >= found.rule.count
                && found.rule.fits(host, &import.request)
        };
        let rules = self.imports.iter().filter(|_| importer != person).filter(fits);
        rules.map(|found| found.rule.token).min()
    }

    /// Whether a certificate is its person's: by its key id if that is somebody's here, else by its principals. What is no
    /// certificate is for whom it says.
    pub(super) fn is_for_person(&self, statement: &Statement) -> bool {
        let Statement::Certificate(found) = statement else { return true };
        let person = &found.request.person;
        match self.people.certificate_ids.get(found.certificate.key_id()) {
            Some(owner) => owner == person,
            None => found.certificate.principals().contains(person),
        }
    }

    /// True if a rule lets this person issue tokens for that one here.
    pub(super) fn may_issue_token(&self, issuer: &str, person: &str, host: &str) -> bool {
        self.tokens.iter().any(|rule| {
            listed(&rule.issuers, issuer, Case::Exact)
                && listed(&rule.persons, person, Case::Exact)
                && listed(&rule.hosts, host, Case::Ignore)
        })
    }

    /// The longest window of a token, in nanoseconds.
    pub fn token_max_ns(&self) -> u64 {
        u64::try_from(self.token_max.as_nanos()).unwrap_or(u64::MAX)
    }

    /// True if the person may allow himself something in an emergency.
    pub fn may_break_glass(&self, person: &str) -> bool {
        listed(&self.break_glass, person, Case::Exact)
    }

    /// The longest window of any grant, in nanoseconds.
    pub fn max_window_ns(&self) -> u64 {
        u64::try_from(self.max_window.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Rule {
    /// True if the person is one who may approve under this rule. That he may not approve his own is the book's.
    pub fn approves(&self, person: &str) -> bool {
        listed(&self.approvers, person, Case::Exact)
    }

    fn fits(&self, host: &str, request: &Request) -> bool {
        listed(&self.hosts, host, Case::Ignore)
            && listed(&self.persons, &request.person, Case::Exact)
            && self.takes_incident(request)
            && request.privileges.iter().all(|wanted| self.privileges.iter().any(|most| allows(most, wanted)))
    }

    fn takes_incident(&self, request: &Request) -> bool {
        self.incidents.is_empty()
            || request.incident.as_ref().is_some_and(|i| listed(&self.incidents, &i.system, Case::Exact))
    }
}

/// True if whoever may approve `most` may approve `wanted`. `user:root` is root: no pattern of users contains it.
fn allows(most: &Privilege, wanted: &Privilege) -> bool {
    match (most, wanted) {
        (most, _) if most.is_root() => true,
        (Privilege::User(most), Privilege::User(name)) => {
            !wanted.is_root() && contains(most.as_bytes(), name.as_bytes())
        }
        (Privilege::Command(most), Privilege::Command(glob)) => contains(most.as_bytes(), glob.as_bytes()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(privileges: &str) -> Policy {
        Policy::parse(&format!(
            "[[approve]]\napprovers = [\"*\"]\npersons = [\"*\"]\nprivileges = {privileges}\n"
        ))
        .unwrap()
    }

    fn fits(policy: &Policy, privilege: Privilege) -> bool {
        let request = super::super::tests::request("anna", 0, 1);
        policy.rules_for("h", &Request { privileges: vec![privilege], ..request }).next().is_some()
    }

    #[test]
    fn no_pattern_of_users_contains_root() {
        let users = rule("[\"user:*\"]");
        assert!(fits(&users, Privilege::User("postgres".into())));
        assert!(!fits(&users, Privilege::User("root".into())));
        assert!(!fits(&users, Privilege::Root));
        for most in ["[\"root\"]", "[\"user:root\"]"] {
            assert!(fits(&rule(most), Privilege::User("root".into())));
            assert!(fits(&rule(most), Privilege::Command("systemctl *".into())));
        }
    }

    #[test]
    fn a_wider_command_is_not_approved_by_a_narrower_rule() {
        let commands = rule("[\"command:systemctl restart *\"]");
        assert!(fits(&commands, Privilege::Command("systemctl restart nginx".into())));
        assert!(!fits(&commands, Privilege::Command("systemctl *".into())));
        assert!(!fits(&commands, Privilege::Command("*".into())));
    }

    #[test]
    fn h9_a_key_beats_an_account_and_a_shared_account_is_nobodys() {
        let (one, two) = (format!("SHA256:{}", "a".repeat(43)), format!("SHA256:{}", "b".repeat(43)));
        let policy = Policy::parse(&format!(
            "[people.anna]\naccounts = [\"anna\", \"oncall\"]\nkeys = [\"{one}\", \"{two}\"]\n\
             [people.bert]\naccounts = [\"bert\", \"oncall\"]\ncertificate_ids = [\"bert@ca\"]\n"
        ))
        .unwrap();
        assert_eq!(policy.person_of("anna", None, None), Some("anna"));
        assert_eq!(policy.person_of("oncall", None, None), None);
        assert_eq!(policy.person_of("nobody", None, None), None);
        for key in [&one, &two] {
            assert_eq!(policy.person_of("oncall", Some(key), None), Some("anna"));
            assert_eq!(policy.person_of("bert", Some(key), Some("bert@ca")), Some("anna"));
            assert_eq!(policy.signer("anna.second", key), "anna");
        }
        assert_eq!(policy.person_of("oncall", Some("SHA256:unknown"), Some("bert@ca")), Some("bert"));
        assert_eq!(policy.person_of("anna", Some("SHA256:unknown"), None), Some("anna"));
        assert_eq!(policy.signer("carl", "SHA256:unknown"), "carl");
    }

    #[test]
    fn without_a_policy_nobody_may_anything() {
        let policy = Policy::default();
        assert!(!fits(&policy, Privilege::User("x".into())));
        assert!(!policy.may_break_glass("anna"));
        assert_eq!(policy.person_of("anna", None, None), None);
        assert_eq!(Policy::parse("").unwrap(), policy);
    }

    #[test]
    fn a_rule_can_demand_an_incident() {
        let policy = Policy::parse(
            "[[approve]]\napprovers = [\"*\"]\npersons = [\"*\"]\nprivileges = [\"root\"]\nincidents = [\"pager*\"]\n",
        )
        .unwrap();
        let plain = super::super::tests::request("anna", 0, 1);
        let incident = super::super::Incident { system: "pagerduty".into(), id: "1".into(), url: None };
        let with = Request { incident: Some(incident), ..plain.clone() };
        assert!(policy.rules_for("h", &plain).next().is_none());
        assert!(policy.rules_for("h", &with).next().is_some());
    }
}

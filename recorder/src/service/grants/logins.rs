//! Logins that PAM told of: by which key somebody came decides whose work it is, also on an account that many share.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    grant::Policy,
    model::{Bytes, Login},
};

/// Logins that are remembered; audit's session ids rise, so the lowest is the oldest.
const MOST: usize = 4096;

/// The last login of each of audit's sessions. A clone is cheap.
#[derive(Clone, Debug, Default)]
pub(in crate::service) struct Logins(Arc<BTreeMap<u32, Login>>);

impl Logins {
    /// Remembers a login; one without an audit session can be tied to nothing.
    pub(in crate::service) fn take(&mut self, login: Login) {
        if login.audit_session == u32::MAX {
            return;
        }
        let logins = Arc::make_mut(&mut self.0);
        logins.insert(login.audit_session, login);
        if logins.len() > MOST {
            logins.pop_first();
        }
    }

    /// Every login that was told of and is remembered, by audit session: who came to which account.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &Login)> {
        self.0.iter().map(|(session, login)| (*session, login))
    }

    /// Whose work the audit session is: by the login's key or certificate if it was told, else by the account alone.
    pub(in crate::service) fn person<'a>(
        &self,
        policy: &'a Policy,
        account: &str,
        audit_session: u32,
    ) -> Option<&'a str> {
        match self.0.get(&audit_session) {
            Some(login) => person_of(policy, account, login),
            None => policy.person_of(account, None, None),
        }
    }
}

/// Whose login it is.
pub(in crate::service) fn person_of<'a>(policy: &'a Policy, account: &str, login: &Login) -> Option<&'a str> {
    policy.person_of(account, told(&login.key), told(&login.certificate))
}

fn told(word: &Bytes) -> Option<&str> {
    word.as_utf8().filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(audit_session: u32, key: &str, certificate: &str) -> Login {
        Login { audit_session, key: key.into(), certificate: certificate.into(), ..Login::default() }
    }

    #[test]
    fn a_shared_account_is_somebodys_by_the_key_of_the_login() {
        let key = format!("SHA256:{}", "a".repeat(43));
        let policy = Policy::parse(&format!(
            "[people.anna]\naccounts = [\"oncall\"]\nkeys = [\"{key}\"]\n\
             [people.bert]\naccounts = [\"oncall\"]\ncertificate_ids = [\"bert@ca\"]\n"
        ))
        .unwrap();
        let mut logins = Logins::default();
        assert_eq!(logins.person(&policy, "oncall", 7), None);
        logins.take(login(7, &key, ""));
        logins.take(login(8, "SHA256:other", "bert@ca"));
        logins.take(login(9, "", ""));
        logins.take(login(u32::MAX, &key, ""));
        assert_eq!(logins.person(&policy, "oncall", 7), Some("anna"));
        assert_eq!(logins.person(&policy, "oncall", 8), Some("bert"));
        assert_eq!(logins.person(&policy, "oncall", 9), None);
        assert_eq!(logins.person(&policy, "oncall", u32::MAX), None, "no audit session ties to no login");
        logins.take(login(7, "", "bert@ca"));
        assert_eq!(logins.person(&policy, "oncall", 7), Some("bert"), "the last word counts");
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut logins = Logins::default();
        (0..=u32::try_from(MOST).unwrap()).for_each(|n| logins.take(login(n, "", "")));
        assert_eq!((logins.0.len(), logins.0.contains_key(&0)), (MOST, false));
    }
}

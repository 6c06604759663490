//! Which names (of options, variables, keys) say that their value is a secret.

/// What a name says about its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    Plain,
    /// It is a secret.
    Secret,
    /// It is a secret unless it looks like the path of one.
    SecretOrPath,
    /// It is one if it looks random.
    Perhaps,
}

/// How a name ends, without what separates its words.
const ENDS: [&str; 38] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "passwort",
    "secret",
    "token",
    "secretkeybase",
    "storepass",
    "keypass",
    "rootpw",
    "bindpw",
    "adminpw",
    "apikeysecret",
    "secretstring",
    "requirepass",
    "masterauth",
    "rediscliauth",
    "presharedkey",
    "connectpwd",
    "dbpwd",
    "userpwd",
    "mysqlpwd",
    "wpapsk",
    "wifipsk",
    "authpsk",
    "identifiedby",
    "secretid",
    "jwt",
    "macaroon",
    "bearer",
    "kubeconfigdata",
    "recoverycode",
    "mnemonic",
    "seedphrase",
    "passwordhash",
    "tokenvalue",
    "secretvalue",
];
/// ... where the value may be a file instead.
const KEYS: [&str; 14] = [
    "secretkey",
    "secretaccesskey",
    "accesskey",
    "apikey",
    "privatekey",
    "encryptionkey",
    "signingkey",
    "masterkey",
    "authkey",
    "sharedkey",
    "accountkey",
    "storagekey",
    "licensekey",
    "appkey",
];
/// Last words of a name.
const WORDS: [&str; 4] = ["pass", "pw", "psk", "pwd"];
/// Last words of a name of several whose value is a secret if it looks random.
const PERHAPS: [&str; 9] =
    ["key", "auth", "sid", "signature", "otp", "credential", "credentials", "session", "sessionid"];
/// First words of switches: they ask for a secret, or say that there is none.
const SWITCHES: [&str; 25] = [
    "no", "not", "non", "ask", "prompt", "require", "requires", "required", "need", "needs", "skip",
    "disable", "enable", "with", "without", "show", "hide", "use", "allow", "permit", "min", "max", "has",
    "is", "store",
];
/// What may stand behind the word that says it.
const BEHIND: [&str; 17] = [
    "confirmation",
    "confirm",
    "new",
    "old",
    "current",
    "repeat",
    "again",
    "value",
    "plain",
    "plaintext",
    "hash",
    "base64",
    "b64",
    "prod",
    "production",
    "staging",
    "dev",
];
/// English and product names that end in `pass`, and options that take a file.
const NOT_PASS: [&str; 12] = [
    "bypass",
    "compass",
    "encompass",
    "surpass",
    "trespass",
    "overpass",
    "underpass",
    "multipass",
    "keepass",
    "authuserpass",
    "askpass",
    "sshaskpass",
];

/// Longer names are none.
const LONGEST: usize = 128;

/// Judges a name; `own` are the words of further names, each in lower case.
pub(super) fn kind(name: &[u8], own: &[Vec<String>]) -> Kind {
    if name.is_empty() || name.len() > LONGEST {
        return Kind::Plain;
    }
    let mut words = words(name);
    if own.iter().any(|own| words.ends_with(own)) {
        return Kind::Secret;
    }
    if words.len() > 1 && words.first().is_some_and(|first| SWITCHES.contains(&first.as_str())) {
        return Kind::Plain;
    }
    while words.len() > 1
        && words
            .last()
            .is_some_and(|last| BEHIND.contains(&last.as_str()) || last.bytes().all(|b| b.is_ascii_digit()))
    {
        words.pop();
    }
    let all = words.concat();
    let whole = all.trim_end_matches(|c: char| c.is_ascii_digit());
    let last = words.last().map(String::as_str).unwrap_or_default();
    if whole == "pwd" {
        return Kind::SecretOrPath;
    }
    if whole == "oldpwd" || NOT_PASS.contains(&whole) {
        return Kind::Plain;
    }
    if KEYS.iter().any(|end| whole.ends_with(end)) {
        return Kind::SecretOrPath;
    }
    if ENDS.iter().any(|end| whole.ends_with(end)) || WORDS.contains(&last) || whole.ends_with("pass") {
        return Kind::Secret;
    }
    if words.len() > 1 && PERHAPS.contains(&last) { Kind::Perhaps } else { Kind::Plain }
}

/// The words of a name in lower case: separated by anything that is no letter or digit, and by capitals.
pub(super) fn words(name: &[u8]) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut before = 0u8;
    for byte in name {
        let starts = byte.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit());
        if (starts || !byte.is_ascii_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if byte.is_ascii_alphanumeric() {
            word.push(char::from(byte.to_ascii_lowercase()));
        }
        before = *byte;
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Whether the value fits what the name says.
pub(super) fn fits(kind: Kind, value: &[u8]) -> bool {
    // What names a secret elsewhere, or says that there is none.
    const NONE: [&[u8]; 14] = [
        b"",
        b"-",
        b"yes",
        b"no",
        b"true",
        b"false",
        b"on",
        b"off",
        b"none",
        b"null",
        b"nil",
        b"prompt",
        b"stdin",
        b"undefined",
    ];
    let lower = value.to_ascii_lowercase();
    if value.len() <= 9 && NONE.contains(&lower.as_slice()) {
        return false;
    }
    match kind {
        Kind::Plain => false,
        Kind::Secret => !lower.starts_with(b"id=") && !lower.starts_with(b"type="),
        Kind::SecretOrPath => !is_path(&lower),
        Kind::Perhaps => {
            let some = |of: fn(&u8) -> bool| value.iter().any(of);
            let odd = |b: &u8| b.is_ascii_whitespace() || b"/.,:".contains(b);
            value.len() >= 16 && some(u8::is_ascii_digit) && some(u8::is_ascii_alphabetic) && !some(odd)
        }
    }
}

fn is_path(value: &[u8]) -> bool {
    const STARTS: [&[u8]; 4] = [b"/", b"./", b"../", b"~/"];
    const ENDS: [&[u8]; 8] = [b".pem", b".key", b".crt", b".json", b".txt", b".p12", b".jks", b"_rsa"];
    STARTS.iter().any(|start| value.starts_with(start)) || ENDS.iter().any(|end| value.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_say() {
        for name in [
            "password",
            "--password",
            "PGPASSWORD",
            "MYSQL_PWD",
            "db-pass",
            "smtpPass",
            "AWS_SECRET_ACCESS_KEY",
            "GITHUB_TOKEN",
            "spring.datasource.password",
            "_authToken",
            "api-key",
            "X-Api-Key",
            "SECRET_KEY_BASE",
            "password2",
            "PASSWORD_1",
            "password_confirmation",
            "DB_PASSWORD_PROD",
            "psk",
            "wifi-sec.psk",
            "SSHPASS",
            "passphrase",
            "clientSecret",
            "ansible_become_pass",
            "requirepass",
            "pwd",
            "PW",
        ] {
            assert_ne!(kind(name.as_bytes(), &[]), Kind::Plain, "{name}");
        }
        for name in [
            "password-file",
            "PASSWORD_FILE",
            "passwordFile",
            "no-password",
            "author",
            "token-url",
            "max_tokens",
            "ask-pass",
            "with-token",
            "password-stdin",
            "bypass",
            "OLDPWD",
            "passive",
            "passthrough",
            "monkey",
            "secrets",
            "keyboard",
            "auth-user-pass",
            "secretary",
            "passwordauthentication",
            "compass",
            "",
            "key",
        ] {
            assert_eq!(kind(name.as_bytes(), &[]), Kind::Plain, "{name}");
        }
        assert_eq!(kind(b"STRIPE_KEY", &[]), Kind::Perhaps);
        let own = [words(b"corp-pin")];
        assert_eq!((kind(b"MY_CORP_PIN", &own), kind(b"CORP", &own)), (Kind::Secret, Kind::Plain));
    }

    #[test]
    fn values_that_are_no_secrets_stay() {
        assert!(fits(Kind::Secret, b"hunter2") && !fits(Kind::Secret, b"true") && !fits(Kind::Secret, b""));
        assert!(!fits(Kind::SecretOrPath, b"/root") && fits(Kind::SecretOrPath, b"s3cret"));
        assert!(fits(Kind::Perhaps, b"abcdefgh12345678") && !fits(Kind::Perhaps, b"created_at_descending"));
    }
}

//! What may be asked over the socket: one JSON object on one line (docs/control.md).

use serde::Deserialize;

/// Longest question in bytes.
pub(super) const MAX_QUESTION: usize = 256 << 10;

/// The only version of questions and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub(super) struct Version;

impl TryFrom<u64> for Version {
    type Error = String;
    fn try_from(number: u64) -> Result<Self, Self::Error> {
        if number == 1 { Ok(Self) } else { Err(format!("version {number} is not spoken here, only 1")) }
    }
}

/// A question. A field that does not exist is an error, so that no typo widens what is asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Question {
    /// Am I recorded?
    Status {
        v: Version,
        #[serde(default)]
        plain: bool,
        #[serde(default)]
        all: bool,
    },
    /// Where does the log stand?
    Checkpoint {
        v: Version,
        #[serde(default)]
        plain: bool,
    },
    /// A signed document.
    Add {
        v: Version,
        #[serde(default)]
        plain: bool,
        document: String,
        signature: String,
    },
    /// root: a retention permit is applied.
    Expire {
        v: Version,
        #[serde(default)]
        plain: bool,
        document: String,
        signature: String,
    },
    /// PAM: somebody logs in.
    Login {
        v: Version,
        #[serde(default)]
        plain: bool,
        account: String,
        service: Option<String>,
        remote: Option<String>,
        tty: Option<String>,
        auth_info: Option<String>,
        pid: u32,
        audit_session: Option<u32>,
    },
    /// PAM and sudo: may he?
    May {
        v: Version,
        #[serde(default)]
        plain: bool,
        account: String,
        target: Option<String>,
        argv: Option<Vec<String>>,
        audit_session: Option<u32>,
        /// The text of one, `rt1.…`.
        token: Option<String>,
    },
}

impl Question {
    /// Reads one line; the reason if it is no question.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        // serde would take a list of the fields' values as well.
        if line.trim_ascii_start().first() != Some(&b'{') {
            return Err("a question is one JSON object on one line".to_owned());
        }
        serde_json::from_slice(line).map_err(|error| error.to_string())
    }

    /// True if the answer is wanted as lines of text.
    pub(super) const fn plain(&self) -> bool {
        match self {
            Self::Status { plain, .. }
            | Self::Checkpoint { plain, .. }
            | Self::Add { plain, .. }
            | Self::Expire { plain, .. }
            | Self::Login { plain, .. }
            | Self::May { plain, .. } => *plain,
        }
    }
}

/// Whether a line that is no question asks for text, as far as it can be told.
pub(super) fn wants_plain(line: &[u8]) -> bool {
    let read = serde_json::from_slice::<serde_json::Value>(line);
    read.is_ok_and(|value| value.get("plain").and_then(serde_json::Value::as_bool) == Some(true))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Question, String> {
        Question::parse(text.as_bytes())
    }

    #[test]
    fn questions_are_read() {
        assert_eq!(
            parse(r#"{"v":1,"op":"status"}"#),
            Ok(Question::Status { v: Version, plain: false, all: false })
        );
        let may = r#"{"plain":true,"op":"may","account":"anna","target":"root","argv":["/usr/bin/id"],"audit_session":7,"token":null,"v":1}"#;
        assert!(
            matches!(parse(may), Ok(Question::May { plain: true, argv: Some(argv), .. }) if argv.len() == 1)
        );
        let login = r#"{"v":1,"op":"login","account":"anna","pid":7}"#;
        assert!(matches!(parse(login), Ok(Question::Login { pid: 7, audit_session: None, .. })));
    }

    #[test]
    fn what_is_no_question_is_refused_with_its_reason() {
        for (text, why) in [
            ("", "one JSON object"),
            ("null", "one JSON object"),
            ("{", "EOF"),
            (r#"["status", 1]"#, "one JSON object"),
            (r#"{"op":"status"}"#, "missing field `v`"),
            (r#"{"v":1}"#, "missing field `op`"),
            (r#"{"v":2,"op":"status"}"#, "version 2"),
            (r#"{"v":1,"op":"shutdown"}"#, "unknown variant"),
            (r#"{"v":1,"op":"status","uid":0}"#, "unknown field `uid`"),
            (r#"{"v":1,"op":"status","document":"x"}"#, "unknown field `document`"),
            (r#"{"v":1,"v":1,"op":"status"}"#, "duplicate field"),
            (r#"{"v":1,"op":"status","op":"may"}"#, "duplicate field"),
            (r#"{"v":1,"op":"add","document":"x"}"#, "missing field `signature`"),
            (r#"{"v":1,"op":"login","account":"a","pid":-1}"#, "invalid value"),
            (r#"{"v":1,"op":"status"} x"#, "trailing"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
        assert!(wants_plain(br#"{"plain":true,"op":"no"}"#) && !wants_plain(b"plain") && !wants_plain(b"{}"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in any::<Vec<u8>>()) {
            let _ = Question::parse(&bytes);
            wants_plain(&bytes);
        }

        #[test]
        fn anything_that_looks_like_a_question_is_read(
            text in r#"(\{|\}|\[|"(v|op|plain|all|argv|account|pid|token)":?|1|true|null|"(status|add|may|login)"|,|\\u00..){0,24}"#,
        ) {
            let _ = parse(&text);
            wants_plain(text.as_bytes());
        }
    }

    #[test]
    fn depth_is_no_way_in() {
        let deep = format!("{{\"v\":1,\"op\":{}", "[".repeat(200_000));
        assert!(parse(&deep).is_err());
        assert!(!wants_plain(deep.as_bytes()));
    }
}

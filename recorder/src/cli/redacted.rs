//! Tests: what is gone from arguments, as people and programs are told.

use insta::assert_snapshot;

use super::args::Format;
use super::events::Wanted;
use super::tests::{events, timeline};
use crate::index::fixture::{self as fx, Fixture};
use crate::model::{Body, Bytes, Digest, Kind, Redacted, RedactedField, Redaction, RedactionKey};

fn story() -> Fixture {
    let mut f = Fixture::with_session();
    f.control(Body::RedactionKey(Box::new(RedactionKey { key: Bytes::new([0x4b; 32]) })));
    f.control(Body::RedactionKey(Box::new(RedactionKey { key: Bytes::default() })));
    let place =
        |field, index, hash| Redaction { field, index, offset: 2, bytes: 7, rule: "option".into(), hash };
    let redacted = |of, places| Body::Redacted(Box::new(Redacted { of, places }));
    let task = fx::task(101, 100, "mysql");
    f.of(
        1,
        Some(task.clone()),
        fx::exec("/usr/bin/mysql", &["mysql", "-p[redacted]", "--token", "[redacted]", "db"]),
    );
    let hash = Some(Digest::new([0x5c; 32]));
    let places = vec![place(RedactedField::Argv, 1, hash), place(RedactedField::Argv, 3, None)];
    f.of(1, Some(task.clone()), redacted(Kind::EXEC, places));
    f.of(1, Some(task), redacted(Kind::DELEGATION, vec![place(RedactedField::What, 0, None)]));
    f.of(1, None, fx::end());
    f
}

#[test]
fn g7_what_was_taken_out_is_told_in_plain_words() {
    let f = story();
    assert_snapshot!(timeline(&f, false, Format::Table).out);
    assert_snapshot!(timeline(&f, false, Format::Ndjson).out);
    let wanted = || Wanted { kind: vec!["redacted", "redaction_key"], ..Wanted::default() };
    assert_snapshot!(events(&f, None, &wanted(), Format::Table).out);
    assert_snapshot!(events(&f, None, &wanted(), Format::Ndjson).out);
}

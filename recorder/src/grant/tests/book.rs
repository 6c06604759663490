//! States, one rule at a time.

use super::*;
use crate::grant::{Refusal, State, Verdict};

fn state(book: &Book, id: u8, now: u64) -> State {
    book.grant(&Digest::new([id; 32])).unwrap().state(real(now))
}

fn verdict(book: &Book, id: u8) -> Verdict {
    book.verdict(&Digest::new([id; 32]))
}

fn effective(book: &Book, id: u8) -> Option<(u64, u64)> {
    let window = book.grant(&Digest::new([id; 32])).unwrap().effective()?;
    Some((window.from.get(), window.until.get()))
}

#[test]
fn a_request_lives_through_its_states() {
    let book = book([asked(1, "bert", 5, 20, 40), approval(2, 1, "lead1", 10)]);
    for (now, expected) in [
        (5, State::Requested),
        (9, State::Requested),
        (10, State::Approved),
        (19, State::Approved),
        (20, State::Active),
        (39, State::Active),
        (40, State::Expired),
    ] {
        assert_eq!(state(&book, 1, now), expected, "at {now}");
    }
    let grant = book.grant(&Digest::new([1; 32])).unwrap();
    assert_eq!((grant.needed, grant.approvals.as_slice()), (1, ["lead1".to_owned()].as_slice()));
    assert_eq!(effective(&book, 1), Some((20, 40)));
}

#[test]
fn h6_a_back_dated_approval_opens_nothing_in_the_past() {
    let book = book([asked(1, "bert", 5, 0, 40), approval(2, 1, "lead1", 30)]);
    assert_eq!(effective(&book, 1), Some((30, 40)));
    assert_eq!(state(&book, 1, 29), State::Requested);
    let late = super::book([asked(1, "bert", 5, 0, 40), approval(2, 1, "lead1", 40)]);
    assert_eq!((effective(&late, 1), state(&late, 1, 40)), (None, State::Expired));
}

#[test]
fn h6_a_replay_keeps_the_first_receipt() {
    let mut book = book([asked(1, "bert", 5, 0, 40), approval(2, 1, "lead1", 10)]);
    let before = book.clone();
    book.insert(approval(2, 1, "lead1", 35));
    book.insert(asked(1, "bert", 36, 0, 40));
    assert_eq!(book, before);
}

#[test]
fn h6_nobody_approves_his_own_by_whatever_name_or_key() {
    let mut alias = approval(3, 1, "lead2", 11);
    alias.key = "SHA256:anna".to_owned();
    let book = book([asked(1, "anna", 5, 0, 40), approval(2, 1, "anna", 10), alias]);
    assert_eq!(state(&book, 1, 20), State::Requested);
    assert_eq!(verdict(&book, 2), Verdict::Refused(Refusal::HisOwn));
    assert_eq!(verdict(&book, 3), Verdict::Refused(Refusal::HisOwn));
}

#[test]
fn who_asks_for_another_does_not_approve_it_either() {
    let mut asked = asked(1, "bert", 5, 0, 40);
    asked.document.signer = "lead1".into();
    (asked.principal, asked.key) = ("lead1".into(), "SHA256:lead1".into());
    let book = book([asked, approval(2, 1, "lead1", 10)]);
    assert_eq!(verdict(&book, 2), Verdict::Refused(Refusal::HisOwn));
    assert_eq!(state(&book, 1, 20), State::Requested);
}

#[test]
fn h9_a_mapped_key_makes_one_person_of_two_names() {
    let key = format!("SHA256:{}", "k".repeat(43));
    let text = format!(
        "[people.anna]\nkeys = [\"{key}\"]\n[[approve]]\napprovers = [\"*\"]\npersons = [\"*\"]\nprivileges = [\"root\"]\n"
    );
    let mut book = Book::new(Policy::parse(&text).unwrap(), "web-1");
    book.insert(asked(1, "anna", 5, 0, 40));
    let mut second = approval(2, 1, "anna-admin", 10);
    second.key = key;
    book.insert(second);
    assert_eq!(verdict(&book, 2), Verdict::Refused(Refusal::HisOwn));
}

#[test]
fn two_approvers_are_two_persons_with_two_keys() {
    let mut shared = approval(4, 1, "lead2", 12);
    shared.key = "SHA256:lead1".to_owned();
    let mut book =
        book([asked(1, "two-x", 5, 0, 40), approval(2, 1, "lead1", 10), approval(3, 1, "lead1", 11), shared]);
    assert_eq!(state(&book, 1, 20), State::Requested);
    assert_eq!(verdict(&book, 3), Verdict::Refused(Refusal::Repeated));
    assert_eq!(verdict(&book, 4), Verdict::Refused(Refusal::Repeated));
    book.insert(approval(5, 1, "anna", 13));
    assert_eq!(verdict(&book, 5), Verdict::Refused(Refusal::NotAllowed));
    book.insert(approval(6, 1, "lead3", 14));
    assert_eq!(effective(&book, 1), Some((14, 40)));
}

#[test]
fn a_rejection_before_the_approval_wins_and_at_the_same_moment_too() {
    for (no, yes) in [(9, 10), (10, 10)] {
        let book =
            book([asked(1, "bert", 5, 0, 40), rejection(2, 1, "lead2", no), approval(3, 1, "lead1", yes)]);
        assert_eq!(state(&book, 1, 20), State::Rejected);
        assert_eq!(verdict(&book, 3), Verdict::Refused(Refusal::TooLate));
        assert_eq!(effective(&book, 1), None);
    }
    let book = book([asked(1, "bert", 5, 0, 40), rejection(2, 1, "lead2", 11), approval(3, 1, "lead1", 10)]);
    assert_eq!((state(&book, 1, 10), state(&book, 1, 11)), (State::Active, State::Revoked));
}

#[test]
fn a_revocation_holds_from_its_receipt_and_for_ever() {
    let book = book([
        asked(1, "bert", 5, 0, 40),
        approval(2, 1, "lead1", 10),
        revocation(3, 1, "lead2", 20),
        approval(4, 1, "lead3", 25),
        extension(5, 1, "lead3", 26, 60),
    ]);
    assert_eq!(
        (state(&book, 1, 19), state(&book, 1, 20), state(&book, 1, 90)),
        (State::Active, State::Revoked, State::Revoked)
    );
    assert_eq!(effective(&book, 1), Some((10, 20)));
    assert_eq!(verdict(&book, 5), Verdict::Refused(Refusal::TooLate));
}

#[test]
fn a_stranger_can_not_revoke_and_the_person_can() {
    let mut book =
        book([asked(1, "bert", 5, 0, 40), approval(2, 1, "lead1", 10), revocation(3, 1, "carl", 20)]);
    assert_eq!(
        (state(&book, 1, 30), verdict(&book, 3)),
        (State::Active, Verdict::Refused(Refusal::NotAllowed))
    );
    book.insert(revocation(4, 1, "bert", 21));
    assert_eq!(state(&book, 1, 30), State::Revoked);
}

#[test]
fn answers_before_their_request_wait_for_it() {
    let mut book = book([approval(2, 1, "lead1", 3), extension(3, 1, "lead1", 4, 50)]);
    assert_eq!((book.dangling().count(), verdict(&book, 2)), (2, Verdict::Dangling));
    book.insert(asked(1, "bert", 10, 0, 40));
    assert_eq!((book.dangling().count(), verdict(&book, 2)), (0, Verdict::Counts));
    assert_eq!(effective(&book, 1), Some((10, 50)));
    // Nor does a no that came first lose its force.
    let book =
        super::book([revocation(3, 1, "lead1", 2), asked(1, "bert", 5, 0, 40), approval(2, 1, "lead1", 10)]);
    assert_eq!((state(&book, 1, 20), effective(&book, 1)), (State::Revoked, None));
}

#[test]
fn an_extension_lengthens_up_to_the_policy_and_revives_nothing() {
    let base = [asked(1, "bert", 5, 0, 40), approval(2, 1, "lead1", 10)];
    let cases = [
        (extension(3, 1, "lead1", 39, 60), 60, Verdict::Counts),
        (extension(3, 1, "lead1", 39, 2 * MINUTE), MINUTE, Verdict::Counts),
        (extension(3, 1, "lead1", 40, 60), 40, Verdict::Refused(Refusal::TooLate)),
        (extension(3, 1, "lead1", 20, 30), 40, Verdict::Refused(Refusal::NotLonger)),
        (extension(3, 1, "bert", 20, 60), 40, Verdict::Refused(Refusal::HisOwn)),
        (extension(3, 1, "carl", 20, 60), 40, Verdict::Refused(Refusal::NotAllowed)),
    ];
    for (extension, until, expected) in cases {
        let book = book(base.iter().cloned().chain([extension]));
        assert_eq!((effective(&book, 1), verdict(&book, 3)), (Some((10, until)), expected));
    }
}

#[test]
fn break_glass_is_active_at_once_for_those_who_may() {
    let mut book =
        book([glass(1, "anna", 10, 0, 40), glass(2, "bert", 10, 0, 40), glass(3, "carl", 10, 20, 40)]);
    assert_eq!(
        (effective(&book, 1), effective(&book, 2), effective(&book, 3)),
        (Some((10, 40)), None, Some((20, 40)))
    );
    assert!(book.grant(&Digest::new([1; 32])).unwrap().break_glass);
    assert_eq!(state(&book, 2, 20), State::Refused(Refusal::NotAllowed));
    book.insert(revocation(4, 1, "lead1", 20));
    assert_eq!(effective(&book, 1), Some((10, 20)));
    // By somebody else's hand it is none.
    let mut forged = glass(5, "anna", 10, 0, 40);
    forged.document.signer = "bert".into();
    forged.principal = "bert".into();
    forged.key = "SHA256:bert".into();
    book.insert(forged);
    assert_eq!(state(&book, 5, 20), State::Refused(Refusal::NotHisOwn));
}

#[test]
fn what_can_not_become_a_grant_says_why() {
    let with = |change: fn(&mut Request)| {
        let mut request = request("bert", 0, 40);
        change(&mut request);
        signed(1, "bert", 5, Statement::Request(request))
    };
    let mut other = asked(1, "bert", 5, 0, 40);
    other.principal = "carl".into();
    for (document, refusal) in [
        (other, Refusal::NotTheSigner),
        (with(|r| r.window.until = real(0)), Refusal::EmptyWindow),
        (with(|r| r.window.until = real(MINUTE + 1)), Refusal::WindowTooLong),
        (with(|r| r.privileges.clear()), Refusal::NoPrivilege),
        (with(|r| r.reason = " ".into()), Refusal::NoReason),
    ] {
        let book = book([document, approval(2, 1, "lead1", 10)]);
        assert_eq!(state(&book, 1, 20), State::Refused(refusal));
        assert_eq!((verdict(&book, 1), effective(&book, 1)), (Verdict::Refused(refusal), None));
    }
    let mut nobody = Book::new(Policy::default(), "web-1");
    nobody.insert(asked(1, "bert", 5, 0, 40));
    nobody.insert(glass(2, "anna", 5, 0, 40));
    assert_eq!(state(&nobody, 1, 20), State::Refused(Refusal::NoRule));
    assert_eq!(state(&nobody, 2, 20), State::Refused(Refusal::NotAllowed));
    nobody.set_policy(policy());
    assert_eq!((state(&nobody, 1, 20), state(&nobody, 2, 20)), (State::Requested, State::Active));
}

#[test]
fn notes_are_ones_own_and_allow_nothing() {
    let book = book([note(1, "anna", "anna"), note(2, "bert", "anna")]);
    assert_eq!(book.notes_of("anna").count(), 1);
    assert_eq!(verdict(&book, 2), Verdict::Refused(Refusal::NotHisOwn));
    assert_eq!(book.grants().count(), 0);
}

//! Documents of retention: what is written comes back, and whatever the page does not allow is refused.

use proptest::prelude::*;

use super::super::wide;
use super::hold::{in_force, state};
use super::permit::MAX_SEGMENTS;
use super::*;
use crate::model::{Digest, LogId, RealNanos, SessionId};

const MADE: RealNanos = RealNanos::new(1_795_228_260_000_000_000);
const UNTIL: RealNanos = RealNanos::new(1_795_833_060_000_000_000);

fn maker(nonce: u8) -> Maker {
    Maker { signer: "dana".into(), made: MADE, nonce: [nonce; 16] }
}

fn plan(segments: Vec<Item>) -> Plan {
    Plan { log: LogId::new([0x7f; 16]), policy: "keep 90d".into(), holds: Digest::new([5; 32]), segments }
}

fn item(first: u64, last: u64) -> Item {
    Item { first, last, stub: Digest::new([9; 32]) }
}

fn permit() -> String {
    let (_, bytes) =
        Permit::write(&maker(1), &plan(vec![item(0, 7), item(8, 20)]), "disk \"full\" \\", UNTIL).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn hold(nonce: u8) -> (Digest, Vec<u8>) {
    let sessions = [SessionId::new([1; 16]), SessionId::new([2; 16])];
    let criterion = Criterion::Incident("pagerduty:PD-1".into());
    Hold::write(&maker(nonce), &criterion, &sessions, "court").unwrap()
}

#[test]
fn a_permit_comes_back_and_has_one_form() {
    let text = permit();
    let permit = Permit::parse(text.as_bytes()).unwrap();
    assert_eq!(permit.plan, plan(vec![item(0, 7), item(8, 20)]));
    assert_eq!((permit.reason.as_str(), permit.until, permit.head.made), ("disk \"full\" \\", UNTIL, MADE));
    assert_eq!(permit.plan.item(8), Some(&item(8, 20)));
    assert!(text.starts_with("version = 1\nkind = \"permit\"\nsigner = \"dana\"\n"), "{text}");
    let written = plan(vec![item(3, 9)]).write().unwrap();
    assert_eq!(Plan::parse(&written).unwrap(), plan(vec![item(3, 9)]));
    assert!(Permit::parse(&written).is_err() && Plan::parse(text.as_bytes()).is_err());
}

#[test]
fn what_is_no_permit_is_refused_with_its_key() {
    let good = permit();
    for (from, to, key) in [
        ("version = 1", "version = 2", "version"),
        ("kind = \"permit\"", "kind = \"hold\"", "kind"),
        ("signer = \"dana\"", "signer = \"da*\"", "signer"),
        ("signer = \"dana\"\n", "", "signer"),
        ("made = \"2026", "made = \"2126", "until"),
        ("T02:31:00Z\"\nnonce", "T02:31:00.5Z\"\nnonce", "made"),
        ("nonce = \"01", "nonce = \"0G", "nonce"),
        ("log = \"7f", "log = \"7F", "log"),
        ("policy = \"keep 90d\"", "policy = \" \"", "policy"),
        ("holds = \"05", "holds = \"5", "holds"),
        ("reason = \"disk", "reason = \"\\u001bdisk", "reason"),
        ("first = 8", "first = 7", "segment"),
        ("first = 8", "first = -8", "first"),
        ("last = 20", "last = 8", "segment"),
        ("last = 20", "last = \"20\"", "last"),
        ("last = 20", "last = 20\nmore = 1", "more"),
        ("version = 1", "version = 1\nmore = 1", "more"),
        ("stub = \"0909", "stub = \"09", "stub"),
    ] {
        assert!(good.contains(from), "{from}");
        let said = Permit::parse(good.replacen(from, to, 1).as_bytes()).unwrap_err().to_string();
        assert!(said.contains(key), "{from} -> {to}: {said}");
    }
    assert!(plan(Vec::new()).write().is_err());
    let many = |n: usize| plan((0..wide(n)).map(|n| item(n * 10, n * 10 + 5)).collect()).write();
    // The longest permit fits into its limit, and into a question over the socket.
    assert!(many(MAX_SEGMENTS).unwrap().len() + 12_000 < text::MAX_DOCUMENT);
    assert!(many(MAX_SEGMENTS + 1).is_err());
    let long = format!("{good}# {}", "x".repeat(text::MAX_DOCUMENT));
    assert!(matches!(Permit::parse(long.as_bytes()), Err(DocumentFault::TooLong { .. })));
}

#[test]
fn holds_and_releases_come_back() {
    let (id, bytes) = hold(1);
    let Ok(HoldDocument::Hold(held)) = HoldDocument::parse(&bytes) else { panic!("no hold") };
    assert_eq!((held.head.id, held.reason.as_str(), held.sessions.len()), (id, "court", 2));
    assert!(held.keeps(SessionId::new([2; 16])) && !held.keeps(SessionId::new([3; 16])));
    let (_, release) = Release::write(&maker(2), id, "over").unwrap();
    let Ok(HoldDocument::Release(found)) = HoldDocument::parse(&release) else { panic!("no release") };
    assert_eq!((found.hold, found.reason.as_str()), (id, "over"));
    let one = SessionId::new([7; 16]);
    let (_, bytes) = Hold::write(&maker(1), &Criterion::Session(one), &[], "x").unwrap();
    let Ok(HoldDocument::Hold(held)) = HoldDocument::parse(&bytes) else { panic!("no hold") };
    assert!(held.keeps(one), "also if it was not found when the hold was made");
    let text = String::from_utf8(hold(1).1).unwrap();
    for (from, to) in [
        ("incident = \"pagerduty:PD-1\"\n", ""),
        ("incident = \"pagerduty:PD-1\"\n", "incident = \"PD-1\"\n"),
        ("incident = \"pagerduty:PD-1\"\n", "incident = \"a:b\"\nperson = \"anna\"\n"),
        ("sessions = [", "sessions = [1, "),
        ("sessions = [\"0101", "sessions = [\"01"),
        ("kind = \"hold\"", "kind = \"release\""),
        ("reason", "why"),
    ] {
        assert!(text.contains(from), "{from}");
        assert!(HoldDocument::parse(text.replacen(from, to, 1).as_bytes()).is_err(), "{from} -> {to}");
    }
}

#[test]
fn the_state_of_holds_is_which_are_in_force_in_no_order() {
    let parse = |bytes: &[u8]| HoldDocument::parse(bytes).unwrap();
    let (one, two) = (hold(1), hold(2));
    let release = Release::write(&maker(3), one.0, "over").unwrap().1;
    let force = |list: &[&[u8]]| in_force(list.iter().map(|b| parse(b)));
    let both = force(&[&one.1, &two.1]);
    assert_eq!(state(both.iter()), state(force(&[&two.1, &one.1, &two.1]).iter()));
    let left = force(&[&release, &one.1, &two.1]);
    assert_eq!(left.iter().map(|h| h.head.id).collect::<Vec<_>>(), [two.0]);
    assert_ne!(state(left.iter()), state(both.iter()));
    // SHA-256 of nothing.
    assert!(state(std::iter::empty()).to_string().starts_with("e3b0c442"));
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in any::<Vec<u8>>()) {
        let _ = (Permit::parse(&bytes), Plan::parse(&bytes), HoldDocument::parse(&bytes), Stub::parse(&bytes));
    }

    #[test]
    fn any_stub_of_the_right_form_is_read(head in any::<[u8; 128]>(), tail in any::<Vec<u8>>()) {
        let mut bytes = head.to_vec();
        bytes[..6].copy_from_slice(b"RJS1\x01\x01");
        bytes.extend(tail);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend(crc.to_le_bytes());
        prop_assert!(Stub::parse(&bytes).is_err());
    }

    #[test]
    fn an_edited_permit_is_another_or_none(at in 0usize..700, to in any::<u8>()) {
        let good = permit().into_bytes();
        let mut bytes = good.clone();
        let at = at % bytes.len();
        bytes[at] = to;
        if let Ok(found) = Permit::parse(&bytes) {
            prop_assert_eq!(found.head.id == Permit::parse(&good).unwrap().head.id, bytes == good);
        }
    }
}

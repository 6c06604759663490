use crate::model::{Act, Branch, BranchCause, Confidence, Mark, RequestWhat};
use crate::session::delegation::tests::{Bench, SESSION, branch, handed, start};

/// A unit that was made while a request was on its way.
fn ahead(mark: u64, path: &str) -> Act {
    match branch(mark, BranchCause::Unit, Some(SESSION), path) {
        Act::Branch(branch) => Act::Branch(Branch { is_ahead: true, ..branch }),
        other => other,
    }
}

#[test]
fn a_unit_may_be_older_than_the_word_of_its_request() {
    let mut b = Bench::new();
    let other = b.now + 500_000;
    b.event(70, 1, "systemd", ahead(70, "/system.slice/work.service"));
    assert_eq!(b.exec(70, 300, &["sh"]), [], "it waits");
    let later = b.now + 500_000;
    // That one was not on its way yet when the unit was made.
    let asked = b.send_late(SESSION + 1, RequestWhat::Send, Some(later), start("work.service"));
    assert!(matches!(&asked[..], [Act::Asked(_)]), "{asked:?}");
    let all = b.send_late(SESSION, RequestWhat::Send, Some(other), start("work.service"));
    let [Act::Asked(_), of, Act::Exec(_)] = &all[..] else { panic!("{all:?}") };
    let of = handed(std::slice::from_ref(of));
    assert_eq!((of.from, of.confidence), (Some(Mark::new(SESSION)), Confidence::Certain));
    assert!(!b.rules.is_waiting() && b.let_go.is_empty());
}

#[test]
fn a_unit_that_nobody_asked_for_is_let_go_when_no_request_can_come_any_more() {
    let mut b = Bench::new();
    b.event(70, 1, "systemd", ahead(70, "/system.slice/other.service"));
    assert_eq!(b.exec(70, 300, &["sh"]), []);
    assert_eq!((b.wait(1_900_000_000), b.let_go.len()), (vec![], 0));
    assert_eq!((b.wait(200_000_000), b.let_go.len()), (vec![], 1));
}

/// Who logs in or elevates in there begins a session of his own, which a wait would keep from him.
#[test]
fn where_people_log_in_or_elevate_nothing_waits() {
    for (euid, path) in [
        (1000, "/user.slice/app.slice/his.service"),
        (0, "/system.slice/system-serial\\x2dgetty.slice/serial-getty@ttyS2.service"),
        (0, "/system.slice/ssh.service"),
        (0, "/user.slice/user-1000.slice/session-4.scope"),
    ] {
        let mut b = Bench::new();
        assert_eq!(b.event_as(euid, 70, 900, "systemd", ahead(70, path)), []);
        assert_eq!(b.let_go.len(), 1, "{path}");
    }
}

#[test]
fn what_a_late_word_does_not_name_may_be_his_and_waits_for_the_rest_of_it() {
    let mut b = Bench::new();
    let since = b.now + 500_000;
    b.event(70, 1, "systemd", ahead(70, "/system.slice/some.service"));
    b.event(71, 1, "systemd", ahead(71, "/system.slice/work.service"));
    let mut parts = start("work.service");
    let end = parts.split_off(40);
    assert_eq!(b.send_late(SESSION, RequestWhat::Retold, Some(since), parts), []);
    let all = b.send_late(SESSION, RequestWhat::Retold, Some(since), end);
    let [Act::Asked(_), Act::Handed(of)] = &all[..] else { panic!("{all:?}") };
    assert_eq!(of.confidence, Confidence::Certain);
    assert_eq!(handed(&b.wait(2_100_000_000)).confidence, Confidence::Likely);
}

use crate::model::{Act, BranchCause, Confidence, Mark, RequestWhat};
use crate::session::delegation::tests::{Bench, SESSION, branch, handed, start};

#[test]
fn a_unit_may_be_older_than_the_word_of_its_request() {
    let mut b = Bench::new();
    let other = b.now + 500_000;
    b.branch(70, BranchCause::Unit, Some(SESSION), "/system.slice/work.service", "systemd");
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
fn a_unit_of_a_persons_own_manager_waits_for_nothing() {
    let mut b = Bench::new();
    let made = branch(70, BranchCause::Unit, Some(SESSION), "/user.slice/app.slice/his.service");
    assert_eq!(b.event_as(1000, 70, 900, "systemd", made), []);
    assert_eq!(b.let_go.len(), 1, "who elevates there must not wait");
}

#[test]
fn what_a_late_word_does_not_name_may_be_his_and_waits_for_the_rest_of_it() {
    let mut b = Bench::new();
    let since = b.now + 500_000;
    b.branch(70, BranchCause::Unit, Some(SESSION), "/system.slice/some.service", "systemd");
    b.branch(71, BranchCause::Unit, Some(SESSION), "/system.slice/work.service", "systemd");
    let mut parts = start("work.service");
    let end = parts.split_off(40);
    assert_eq!(b.send_late(SESSION, RequestWhat::Retold, Some(since), parts), []);
    let all = b.send_late(SESSION, RequestWhat::Retold, Some(since), end);
    let [Act::Asked(_), Act::Handed(of)] = &all[..] else { panic!("{all:?}") };
    assert_eq!(of.confidence, Confidence::Certain);
    assert_eq!(handed(&b.wait(2_100_000_000)).confidence, Confidence::Likely);
}

//! Laws of people who sit at a session besides its own.

use super::tests::*;
use super::{Tracked, Tracker};
use crate::model::*;

/// Somebody with that mark hands the terminal of his client `pid` to a server.
fn sits_down(at: u64, mark: u64, pid: u32, server: u32) -> Captured {
    let act = Act::Shared(Shared { server, to: "/tmp/t".into(), terminal: "/dev/pts/3".into() });
    event(at, mark, pid, act)
}

/// A session whose login is the audit session of that number.
fn begins(mark: u64, pid: u32) -> Vec<Captured> {
    let Act::Elevated(elevated) = elevated() else { panic!() };
    let act = Act::Elevated(Elevated { audit_session: u32::try_from(mark).unwrap(), ..elevated });
    vec![event(1, mark, pid, act), event(2, mark, pid, exec("/usr/bin/sudo"))]
}

/// Who was said to sit at a session, by client and own session.
fn company(out: &[Tracked], of: u64) -> Vec<(u32, SessionId)> {
    out.iter()
        .filter_map(|item| match item {
            Tracked::Event { mark, record: Record { body: Body::Participant(p), task: Some(task), .. } }
                if *mark == Mark::new(of) =>
            {
                Some((task.id.pid, p.session))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn who_sits_at_the_server_sits_at_every_session_in_it() {
    let mut events = begins(7, 10);
    events.extend(begins(8, 20));
    // A client sends its terminal three times: input, output, errors.
    events.extend([sits_down(3, 0, 30, 900), sits_down(4, 0, 30, 900), sits_down(5, 0, 30, 900)]);
    let out = run(events, 6);
    for session in [7, 8] {
        assert_eq!(company(&out, session), [(30, SessionId::NOBODY)]);
    }
}

#[test]
fn a_session_that_begins_later_has_who_still_sits_there() {
    let mut events = vec![sits_down(1, 0, 30, 900), sits_down(1, 0, 666, 900), sits_down(1, 0, 31, 901)];
    events.extend(begins(7, 10));
    let out = run(events, 6);
    assert_eq!(company(&out, 7), [(30, SessionId::NOBODY)]);
}

#[test]
fn a_guest_with_a_session_of_his_own_has_the_other_end() {
    let mut events = begins(9, 940);
    events.extend(begins(7, 910));
    events.push(sits_down(3, 7, 911, 950));
    // His own server says nothing, nor does the one that is gone.
    events.extend([sits_down(4, 9, 941, 950), sits_down(5, 7, 912, 666)]);
    let out = run(events, 6);
    let own = |mark| {
        out.iter().find_map(|item| match item {
            Tracked::Opened { mark: m, id, .. } if *m == Mark::new(mark) => Some(*id),
            _ => None,
        })
    };
    assert_eq!(company(&out, 9), [(911, own(7).unwrap())]);
    let asked: Vec<_> = out
        .iter()
        .filter_map(|item| match item {
            Tracked::Event { mark, record: Record { body: Body::Delegation(d), .. } } => {
                Some((mark.get(), d.trigger, d.confidence, Some(d.session)))
            }
            _ => None,
        })
        .collect();
    assert_eq!(asked, [(7, Trigger::Terminal, Confidence::Certain, own(9))]);
}

#[test]
fn the_login_that_a_session_belongs_to_is_no_company() {
    // His client's audit session is the one that the elevation came of.
    let mut events = vec![sits_down(1, 0, 7, 900)];
    events.extend(begins(7, 10));
    let out = run(events, 6);
    assert_eq!(company(&out, 7), []);
}

#[test]
fn so_many_servers_are_remembered_and_no_more() {
    let (mut tracker, mut host, mut out) = (Tracker::default(), Fixed(0), Vec::new());
    for n in 0..5000 {
        tracker.step(BootNanos::new(1), sits_down(1, 0, 2000 + n, 10_000 + n), &mut host, &mut out);
        tracker.step(BootNanos::new(1), sits_down(1, 0, 2000 + n, 900), &mut host, &mut out);
    }
    for item in begins(7, 10) {
        tracker.step(BootNanos::new(2), item, &mut host, &mut out);
    }
    assert!(company(&out, 7).len() <= 32);
}

use std::sync::{Arc, Mutex};

use super::*;
use crate::{
    model::{
        BootNanos, Caps, Elevation, EndReason, Ids, LoginWitness, RealNanos, SessionId, SessionStart, Via,
    },
    service::standing::State,
};

/// Who was reached, in order.
#[derive(Clone, Default)]
struct Hand(Arc<Mutex<Vec<(&'static str, Mark)>>>);

impl Hand {
    fn did(&self) -> Vec<(&'static str, Mark)> {
        self.0.lock().unwrap().clone()
    }
}

impl Reach for Hand {
    fn hang_up(&self, mark: Mark) -> usize {
        self.0.lock().unwrap().push(("hup", mark));
        2
    }
    fn kill(&self, mark: Mark) -> Vec<(TaskId, Bytes)> {
        self.0.lock().unwrap().push(("kill", mark));
        vec![(TaskId { pid: 77, start: BootNanos::new(1) }, Bytes::from("sh"))]
    }
}

fn began(n: u8, user: &str) -> [Tracked; 2] {
    let (mark, id, at) = (Mark::new(u64::from(n)), SessionId::new([n; 16]), BootNanos::new(1));
    let start = SessionStart {
        id,
        root: TaskId { pid: u32::from(n), start: at },
        login: LoginWitness { user: Bytes::from(user), ..LoginWitness::default() },
        elevation: Elevation {
            from: Ids::default(),
            to: Ids::default(),
            caps: Caps::default(),
            via: Via::Unexplained,
            path: Bytes::default(),
        },
        seeded: 0,
    };
    let body = Body::SessionStart(Box::new(start));
    let record = Record { boot_ns: at, cpu: 0, flags: Flags::default(), task: None, body };
    [Tracked::Opened { mark, id, at }, Tracked::Event { mark, record }]
}

fn acts(tracked: &[Tracked]) -> Vec<(EnforcementAct, Mark)> {
    let acts = tracked.iter().map(|item| match item {
        Tracked::Event { mark, record: Record { body: Body::Enforcement(done), .. } } => (done.act, *mark),
        other => panic!("{other:?}"),
    });
    acts.collect()
}

struct Scene {
    hand: Hand,
    ending: Ending,
    start: Instant,
}

impl Scene {
    fn new(grace: Duration) -> Self {
        let hand = Hand::default();
        let ending = Ending::with(Box::new(hand.clone()), grace, vec!["root".to_owned()]);
        Self { hand, ending, start: Instant::now() }
    }

    /// At that second, with storage in this state since second 0.
    fn step(&mut self, second: u64, state: State, tracked: &[Tracked]) -> Vec<(EnforcementAct, Mark)> {
        let at = ClockPair { boot: BootNanos::new(second), real: RealNanos::new(second) };
        let now = self.start + Duration::from_secs(second);
        acts(&self.ending.step(tracked, Standing { state, since: self.start }, at, now))
    }
}

const ONE: Mark = Mark::new(1);

#[test]
fn f3_end_sessions_ends_who_bears_a_mark_after_a_minute_however_storage_fails() {
    for state in [State::Failing, State::Hanging, State::Reserve] {
        let mut scene = Scene::new(Duration::from_mins(2));
        let tracked: Vec<Tracked> = began(1, "oncall1").into_iter().chain(began(2, "root")).collect();
        assert_eq!(scene.step(59, state, &tracked), [], "not for good yet");
        assert_eq!(scene.step(60, state, &[]), [(EnforcementAct::HungUp, ONE)]);
        assert_eq!(scene.step(179, state, &[]), []);
        assert_eq!(scene.step(181, state, &[]), [], "not more often than it has to be");
        assert_eq!(scene.step(184, state, &[]), [(EnforcementAct::Killed, ONE)]);
        assert_eq!(scene.hand.did(), [("hup", ONE), ("kill", ONE)], "and who mends the disk is left alone");
        assert_eq!(scene.step(200, State::Sound, &[]), [(EnforcementAct::Relented, ONE)]);
        assert_eq!(scene.step(201, State::Sound, &[]), []);
    }
}

#[test]
fn f3_who_is_gone_is_neither_ended_nor_spared() {
    let mut scene = Scene::new(Duration::ZERO);
    scene.step(1, State::Hanging, &began(1, "oncall1"));
    assert_eq!(scene.step(60, State::Hanging, &[]), [(EnforcementAct::HungUp, ONE)]);
    let (reason, at) = (EndReason::LastTask, BootNanos::new(61));
    let closed = Tracked::Closed { mark: ONE, reason, losses: 0, at };
    assert_eq!(scene.step(66, State::Hanging, &[closed]), []);
    assert_eq!(scene.step(70, State::Sound, &[]), []);
    assert_eq!(scene.hand.did(), [("hup", ONE)]);
}

#[test]
fn f3_storage_that_comes_back_within_the_minute_ends_nobody() {
    let mut scene = Scene::new(Duration::ZERO);
    scene.step(1, State::Failing, &began(1, "oncall1"));
    scene.step(50, State::Sound, &[]);
    scene.step(600, State::Sound, &[]);
    assert_eq!(scene.hand.did(), []);
}

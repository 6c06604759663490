//! Plays a tape: pause, step, speed, seek, search. Knows no terminal and no clock; both come in.

use std::ops::ControlFlow;
use std::time::Duration;

use super::keyframes::Keyframes;
use super::screen::Screen;
use super::tape::{Tape, Unpacked, What};
use crate::model::RealNanos;

/// Recorded bytes that one call works through at most, so that a key is never waited for long.
const BUDGET: usize = 256 << 10;

/// Speed in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed(u32);

impl Speed {
    /// As recorded.
    pub const NORMAL: Self = Self(100);

    /// From percent, 10 to 10 000.
    pub fn new(percent: u32) -> Option<Self> {
        (10..=10_000).contains(&percent).then_some(Self(percent))
    }

    /// In percent.
    pub const fn percent(self) -> u32 {
        self.0
    }

    fn times(self, real: u64) -> u64 {
        u64::try_from(u128::from(real) * u128::from(self.0) / 100).unwrap_or(u64::MAX)
    }

    fn real(self, played: u64) -> u64 {
        u64::try_from(u128::from(played) * 100 / u128::from(self.0.max(1))).unwrap_or(u64::MAX)
    }
}

/// What the person at the player wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Pause or go on.
    Pause,
    /// One record further, then stand still.
    Step,
    /// Half the speed.
    Slower,
    /// Twice the speed.
    Faster,
    /// By so many nanoseconds of playing time, forward or back.
    Seek(i64),
    /// To the next place that shows this text.
    Search(String),
    /// Once more.
    Next,
    /// Give up seeking or searching.
    Cancel,
}

/// What is to be shown now.
pub struct Frame<'a> {
    /// The screen.
    pub screen: &'a Screen,
    /// Wall clock of the newest step shown.
    pub time: Option<RealNanos>,
    /// Playing time so far, nanoseconds, idle time shortened.
    pub position: u64,
    /// ... and of the whole tape.
    pub total: u64,
    /// True while nothing moves by itself.
    pub paused: bool,
    /// True behind the last step.
    pub ended: bool,
    /// Speed.
    pub speed: Speed,
    /// Terminal events that are missing up to here.
    pub lost: u64,
    /// Bytes of floods that are not kept up to here.
    pub folded: u64,
    /// Something to say, such as `not found`.
    pub message: Option<String>,
    /// When to call again without input; `None`: not before there is input.
    pub wake: Option<Duration>,
}

enum Goal {
    /// Apply all steps before this one.
    Reach(usize),
    Find {
        text: String,
        back: usize,
        back_clock: u64,
        seen: usize,
        line_known: bool,
    },
}

/// Steps that tell of something missing, with the sum up to them; they are few.
#[derive(Default)]
struct Missing(Vec<(usize, u64)>);

impl Missing {
    fn add(&mut self, step: usize, count: u64) {
        let sum = self.0.last().map_or(0, |(_, sum)| *sum);
        self.0.push((step, sum.saturating_add(count)));
    }

    /// The sum before a step.
    fn before(&self, next: usize) -> u64 {
        let before = self.0.partition_point(|(step, _)| *step < next);
        before.checked_sub(1).and_then(|at| self.0.get(at)).map_or(0, |(_, sum)| *sum)
    }
}

/// Plays one tape.
pub struct Player {
    tape: Tape,
    unpacked: Unpacked,
    /// Playing time of each step.
    play_at: Vec<u64>,
    /// What is missing.
    losses: Missing,
    folds: Missing,
    screen: Screen,
    /// The step that comes next, and how many of its bytes were shown already.
    next: usize,
    offset: usize,
    clock: u64,
    last_call: Option<Duration>,
    playing: bool,
    speed: Speed,
    keyframes: Keyframes,
    goal: Option<Goal>,
    search: String,
    message: Option<String>,
}

impl Player {
    /// A player that stands at the start. `idle_limit`: pauses are no longer than this, nanoseconds.
    pub fn new(tape: Tape, speed: Speed, idle_limit: Option<u64>) -> Self {
        let mut play_at = Vec::with_capacity(tape.steps.len());
        let (mut clock, mut before) = (0u64, 0u64);
        let (mut losses, mut folds) = (Missing::default(), Missing::default());
        for (n, step) in tape.steps.iter().enumerate() {
            match step.what {
                What::Lost(count) => losses.add(n, count),
                What::Folded(count) => folds.add(n, count),
                _ => {}
            }
            let gap = step.at.saturating_sub(before);
            clock = clock.saturating_add(idle_limit.map_or(gap, |limit| gap.min(limit)));
            before = step.at;
            play_at.push(clock);
        }
        Self {
            tape,
            unpacked: Unpacked::default(),
            play_at,
            losses,
            folds,
            screen: Screen::new((0, 0)),
            next: 0,
            offset: 0,
            clock: 0,
            last_call: None,
            playing: true,
            speed,
            keyframes: Keyframes::default(),
            goal: None,
            search: String::new(),
            message: None,
        }
    }

    /// The tape.
    pub fn tape(&self) -> &Tape {
        &self.tape
    }

    /// Goes to the place where so many steps have been shown, as fast as the next calls can.
    pub fn go_to(&mut self, steps: usize) {
        let steps = steps.min(self.tape.steps.len());
        if steps < self.next
            || (steps == self.next && self.offset > 0)
            || self.keyframes.step_before(steps) > self.next
        {
            let (next, screen) = self.keyframes.before(steps).unwrap_or_else(|| (0, Screen::new((0, 0))));
            (self.next, self.offset, self.screen) = (next, 0, screen);
        }
        self.clock = steps.checked_sub(1).and_then(|last| self.play_at.get(last)).copied().unwrap_or(0);
        self.goal = Some(Goal::Reach(steps));
    }

    /// Works off everything up to there; for output that is not watched.
    pub fn show_at(&mut self, steps: usize) -> &Screen {
        self.go_to(steps);
        while self.goal.is_some() {
            self.work();
        }
        &self.screen
    }

    /// What stands there now, without anything moving.
    pub fn still(&self) -> Frame<'_> {
        self.frame(false)
    }

    /// Takes the time since the start of the program and what was typed, and says what to show.
    pub fn step(&mut self, now: Duration, input: Option<Input>) -> Frame<'_> {
        let passed = now.saturating_sub(self.last_call.unwrap_or(now));
        self.last_call = Some(now);
        if let Some(input) = input {
            self.message = None;
            self.take(input);
        } else if self.goal.is_none() && self.playing {
            let passed = u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX);
            self.clock = self.clock.saturating_add(self.speed.times(passed)).min(self.total());
        }
        let behind = if self.goal.is_some() { self.work() } else { self.playing && self.advance() };
        self.frame(behind)
    }

    fn total(&self) -> u64 {
        self.play_at.last().copied().unwrap_or(0)
    }

    fn frame(&self, behind: bool) -> Frame<'_> {
        let ended = self.next >= self.tape.steps.len();
        let wake = match self.play_at.get(self.next) {
            _ if behind || self.goal.is_some() => Some(Duration::ZERO),
            Some(at) if self.playing => Some(
                Duration::from_nanos(self.speed.real(at.saturating_sub(self.clock)))
                    .min(Duration::from_secs(1)),
            ),
            _ => None,
        };
        let shown = self.tape.steps.get(..self.next).unwrap_or_default();
        let message = match &self.goal {
            Some(Goal::Find { text, .. }) => {
                let done = shown.last().map_or(0, |s| s.sum).saturating_mul(100);
                Some(format!("searching {text}: {} %", done.checked_div(self.tape.bytes()).unwrap_or(100)))
            }
            Some(Goal::Reach(_)) => Some("seeking".to_owned()),
            None => self.message.clone(),
        };
        Frame {
            screen: &self.screen,
            time: shown.last().or_else(|| self.tape.steps.first()).map(|s| s.real),
            position: self.clock,
            total: self.total(),
            paused: !self.playing,
            ended,
            speed: self.speed,
            lost: self.losses.before(self.next),
            folded: self.folds.before(self.next),
            message,
            wake,
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Pause => self.playing = !self.playing,
            Input::Step => {
                self.playing = false;
                self.goal = None;
                if let Some(at) = self.play_at.get(self.next) {
                    self.clock = self.clock.max(*at);
                    self.apply();
                }
            }
            Input::Slower => self.speed = Speed((self.speed.0 / 2).max(10)),
            Input::Faster => self.speed = Speed((self.speed.0 * 2).min(10_000)),
            Input::Seek(by) => {
                let target = self.clock.saturating_add_signed(by).min(self.total());
                self.go_to(self.play_at.partition_point(|at| *at <= target));
                self.clock = target;
            }
            Input::Search(text) => {
                self.search = text;
                self.find();
            }
            Input::Next => self.find(),
            Input::Cancel => self.goal = None,
        }
    }

    fn find(&mut self) {
        if self.search.is_empty() {
            return;
        }
        self.playing = false;
        let text = self.search.clone();
        let (seen, line_known) = (count(&self.screen, &text), contains(&self.screen.line(), &text));
        self.goal = Some(Goal::Find { text, back: self.next, back_clock: self.clock, seen, line_known });
    }

    /// Applies what is due; true if there is more than fits into one call.
    fn advance(&mut self) -> bool {
        let mut budget = BUDGET;
        while self.play_at.get(self.next).is_some_and(|at| *at <= self.clock) {
            let Some(rest) = budget.checked_sub(self.apply()) else { return true };
            budget = rest;
        }
        false
    }

    /// Goes on towards the goal; true if it was not reached.
    fn work(&mut self) -> bool {
        let mut budget = BUDGET;
        loop {
            match self.goal.take() {
                None => return false,
                Some(Goal::Reach(steps)) => {
                    if self.next >= steps {
                        return false;
                    }
                    self.goal = Some(Goal::Reach(steps));
                    let used = self.apply();
                    match budget.checked_sub(used) {
                        Some(rest) => budget = rest,
                        None => return true,
                    }
                }
                Some(Goal::Find { text, back, back_clock, mut seen, mut line_known }) => {
                    if self.next >= self.tape.steps.len() {
                        self.message = Some(format!("not found: {text}"));
                        self.go_to(back);
                        self.clock = back_clock;
                        continue;
                    }
                    let (used, found) = self.apply_and_look(&text, &mut seen, &mut line_known);
                    if found {
                        let at = self.next.saturating_sub(usize::from(self.offset == 0));
                        self.clock = self.play_at.get(at).copied().unwrap_or(self.clock);
                        self.message = Some(format!("found: {text}"));
                        return false;
                    }
                    self.goal = Some(Goal::Find { text, back, back_clock, seen, line_known });
                    match budget.checked_sub(used) {
                        Some(rest) => budget = rest,
                        None => return true,
                    }
                }
            }
        }
    }

    /// Shows the next step, or what is left of it. Returns a measure of the work.
    fn apply(&mut self) -> usize {
        self.apply_lines(&mut |_| ControlFlow::Continue(()))
    }

    fn apply_lines(&mut self, line: &mut dyn FnMut(&Screen) -> ControlFlow<()>) -> usize {
        let Some(step) = self.tape.steps.get(self.next).copied() else { return 0 };
        let mut used = 64;
        match step.what {
            What::Resize(cols, rows) => self.screen.resize((cols, rows)),
            What::Lost(_) | What::Folded(_) => {}
            What::Output { block, from, len } => {
                let data = self.unpacked.get(&self.tape, block, from, len);
                let data = data.get(self.offset..).unwrap_or_default();
                let taken = self.screen.feed_lines(data, line);
                used += taken;
                if taken < data.len() {
                    self.offset += taken;
                    return used;
                }
            }
        }
        self.next += 1;
        self.offset = 0;
        let sum = self.tape.steps.get(self.next).map_or(self.tape.bytes(), |s| s.sum);
        self.keyframes.offer(self.next, sum, &self.screen);
        used
    }

    /// Shows the next step up to a line that holds the text. `seen` is how often the screen showed it before,
    /// `line_known` whether the unfinished line did.
    fn apply_and_look(&mut self, text: &str, seen: &mut usize, line_known: &mut bool) -> (usize, bool) {
        let (mut found, mut feeds) = (false, false);
        let used = self.apply_lines(&mut |screen| {
            feeds = true;
            found = contains(&screen.line(), text) && !*line_known;
            *line_known = false;
            if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if found {
            return (used, true);
        }
        let now = count(&self.screen, text);
        let line = contains(&self.screen.line(), text);
        // Lines that scrolled were looked at one by one; what was painted elsewhere shows in the number of places.
        found = (line && !*line_known) || (!feeds && now > *seen);
        (*seen, *line_known) = (now, line);
        (used, found)
    }
}

/// As people search: capitals matter only if they typed one.
fn contains(line: &str, text: &str) -> bool {
    if text.chars().any(char::is_uppercase) {
        line.contains(text)
    } else {
        line.to_lowercase().contains(text)
    }
}

fn count(screen: &Screen, text: &str) -> usize {
    screen.rows().iter().filter(|row| contains(row, text)).count()
}

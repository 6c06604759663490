//! Containers: what sessions ask engines for, and which runtime does it (docker's HTTP, containerd's gRPC).
//!
//! An engine has a shim of the container start a runtime (runc, crun), whose arguments name the container and, for a process in
//! one that runs, the process: ids that the engine made, and that the client named when it asked for the start.

use std::collections::{HashMap, VecDeque};

use super::http::{Http, Stream};
use super::{Files, Handover, MOST, UNITS_NS, Verdict, plants::Run, tell};
use crate::model::{
    BootNanos, Bytes, Captured, Confidence, Exec, Handed, KernelEvent, Mark, Request, RequestWhat, Trigger,
};

/// A container or a process is waited for so long after it was asked for: images are copied first.
const SOON_NS: u64 = 180_000_000_000;
/// What could not be read counts for so long; seen, emulated: half a second to a second and a half, six where a container stops first.
const WINDOW_NS: u64 = 10_000_000_000;
/// The engine makes a container within so long after it was asked to.
const MADE_NS: u64 = 5_000_000_000;
/// Clocks may differ by so much.
const SLACK_NS: u64 = 1_000_000_000;
/// A container that a session made is remembered for so long, unless it is removed.
const LATER_NS: u64 = 7 * 24 * 3600 * 1_000_000_000;
/// What is known of messages to containerd, in bytes of one and of all.
const LONGEST_SAID: usize = 64 * 1024;
const MOST_SAID: usize = 1024 * 1024;
/// Characters of an engine's ids; of as many a person may leave out the rest.
const ID: usize = 64;
const SHORT_ID: usize = 12;
/// What a description of a container for containerd names.
const SPEC: &[u8] = b"opencontainers/runtime-spec";

/// What the engine itself has written down of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub made: BootNanos,
}

/// True for the socket of an engine.
pub(super) fn is_engine(socket: &[u8]) -> bool {
    socket.ends_with(b"/docker.sock") || speaks_grpc(socket)
}

fn speaks_grpc(socket: &[u8]) -> bool {
    socket.ends_with(b"/containerd.sock")
}

/// A container or a process that is to start.
#[derive(Clone, Debug)]
struct Wanted {
    /// Its id, the beginning of one, or a name.
    key: String,
    by: Mark,
    words: String,
    until: BootNanos,
}

/// A session asked for a new container.
#[derive(Clone, Debug)]
struct Creation {
    by: Mark,
    at: BootNanos,
    name: Option<String>,
    /// Known when it is first spoken of, or starts.
    id: Option<String>,
}

/// What was said to containerd.
#[derive(Debug)]
struct Said {
    by: Mark,
    connection: u64,
    at: BootNanos,
    bytes: Vec<u8>,
}

/// Whose something is that starts.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    by: Mark,
    confidence: Confidence,
    words: String,
    /// He made it: what runs there is his work.
    is_his: bool,
}

/// All that was asked of engines.
#[derive(Debug, Default)]
pub(super) struct Engines {
    streams: HashMap<(Mark, u64), Stream>,
    said: VecDeque<Said>,
    unread: HashMap<Mark, BootNanos>,
    containers: Vec<Wanted>,
    processes: Vec<Wanted>,
    creations: Vec<Creation>,
    /// Ids that were spoken of before any of these was made.
    mentioned: VecDeque<String>,
}

impl Engines {
    /// Takes what was sent to docker; gives the requests.
    fn hear(&mut self, by: Mark, request: &Request, now: BootNanos) -> Vec<Http> {
        let key = (by, request.connection);
        if self.streams.len() >= MOST && !self.streams.contains_key(&key) {
            // What was said in the middle of a message is not known any more.
            self.unread.extend(self.streams.drain().map(|((mark, _), _)| (mark, now)));
        }
        let stream = self.streams.entry(key).or_default();
        let mut is_lost = request.what == RequestWhat::Retold;
        let requests = match request.what {
            RequestWhat::Opaque => {
                is_lost = stream.gap(None);
                Vec::new()
            }
            _ => stream.push(request.bytes.as_slice()),
        };
        if request.missing > 0 {
            is_lost |= stream.gap(Some(u64::from(request.missing)));
        }
        if !stream.is_sound() {
            self.streams.remove(&key);
            is_lost = true;
        }
        if is_lost {
            self.unread.insert(by, now);
        }
        for request in &requests {
            self.asked(by, request, now);
        }
        requests
    }

    fn asked(&mut self, by: Mark, request: &Http, now: BootNanos) {
        let parts = request.parts();
        let wanted = |key: &str| Wanted {
            key: key.to_owned(),
            by,
            words: words(request),
            until: BootNanos::new(now.get().saturating_add(SOON_NS + request.patience * 1_000_000_000)),
        };
        match (request.method.as_str(), parts.as_slice()) {
            ("POST", ["containers", "create"]) => {
                push(&mut self.creations, Creation { by, at: now, name: request.name.clone(), id: None });
            }
            ("POST", ["exec", id, "start"]) => add(&mut self.processes, wanted(id)),
            (method, ["containers", key, rest @ ..]) => {
                self.mention(by, key);
                match (method, rest) {
                    ("POST", ["start" | "restart"]) => add(&mut self.containers, wanted(key)),
                    ("POST", ["rename"]) => self.rename(key, request.name.as_deref()),
                    ("DELETE", []) => {
                        self.creations.retain(|c| !c.id.as_deref().is_some_and(|id| is_short_for(key, id)));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// The first time that a full id is spoken of right behind the making of a container, it is that one's.
    fn mention(&mut self, by: Mark, id: &str) {
        if !is_id(id)
            || self.creations.iter().any(|c| c.id.as_deref() == Some(id))
            || self.mentioned.iter().any(|known| known == id)
        {
            return;
        }
        if let Some(creation) = self.creations.iter_mut().rfind(|c| c.by == by && c.id.is_none()) {
            creation.id = Some(id.to_owned());
            return;
        }
        if self.mentioned.len() >= MOST {
            self.mentioned.pop_front();
        }
        self.mentioned.push_back(id.to_owned());
    }

    fn rename(&mut self, key: &str, to: Option<&str>) {
        let is_meant = |c: &&mut Creation| {
            c.name.as_deref() == Some(key) || c.id.as_deref().is_some_and(|id| is_short_for(key, id))
        };
        if let (Some(creation), Some(to)) = (self.creations.iter_mut().rfind(is_meant), to) {
            creation.name = Some(to.to_owned());
        }
    }

    /// Takes what was sent to containerd.
    fn overhear(&mut self, by: Mark, request: &Request, now: BootNanos) {
        if matches!(request.what, RequestWhat::Opaque | RequestWhat::Retold) {
            self.unread.insert(by, now);
        }
        let bytes = request.bytes.as_slice();
        match self.said.back_mut() {
            // An id may lie across two parts of a message.
            Some(last)
                if (last.by, last.connection) == (by, request.connection)
                    && last.bytes.len() + bytes.len() <= LONGEST_SAID =>
            {
                last.bytes.extend_from_slice(bytes);
                last.at = now;
            }
            _ => self.said.push_back(Said {
                by,
                connection: request.connection,
                at: now,
                bytes: bytes.get(..bytes.len().min(LONGEST_SAID)).unwrap_or_default().to_vec(),
            }),
        }
        while self.said.iter().map(|said| said.bytes.len()).sum::<usize>() > MOST_SAID {
            self.said.pop_front();
        }
    }

    /// Until when engines have to be looked at although nobody asks them for anything.
    pub(super) fn standing_until(&self, now: BootNanos) -> Option<BootNanos> {
        // A container that a session made starts again whenever the engine wants it to.
        let is_kept = self.creations.iter().any(|c| now.since(c.at) < LATER_NS);
        let later =
            is_kept.then(|| BootNanos::new(now.get().saturating_add(2 * UNITS_NS) / UNITS_NS * UNITS_NS));
        let soon =
            self.containers.iter().chain(&self.processes).map(|w| w.until).filter(|until| now <= *until);
        soon.max().max(later)
    }

    /// A session is over: what it asked for counts on, its connections don't.
    pub(super) fn closed(&mut self, mark: Mark) {
        self.streams.retain(|(of, _), _| *of != mark);
    }

    /// Whose it is what the runtime does, and the id that says so; `None`: nobody's that is recorded.
    fn started(&mut self, argv: &[Bytes], now: BootNanos, files: &impl Files) -> Option<(Found, String)> {
        let order = Order::of(argv)?;
        self.containers.retain(|w| now <= w.until);
        self.processes.retain(|w| now <= w.until);
        self.creations.retain(|c| now.since(c.at) < LATER_NS);
        let sure = match &order {
            Order::Enter { process, .. } => self.process(process, now),
            Order::Start { container } => self.container(container, now, files),
        };
        let found = sure.or_else(|| self.guess(now))?;
        let evidence = match order {
            Order::Enter { process, container } => format!("{process} in {container}"),
            Order::Start { container } => container,
        };
        Some((found, evidence))
    }

    fn process(&mut self, id: &str, now: BootNanos) -> Option<Found> {
        if let Some(at) = self.processes.iter().rposition(|w| w.key == id) {
            let Wanted { by, words, .. } = self.processes.remove(at);
            return Some(Found { by, confidence: Confidence::Certain, words, is_his: true });
        }
        let said = self.said_of(id, now)?;
        Some(Found { by: said.by, confidence: Confidence::Certain, words: GRPC.to_owned(), is_his: true })
    }

    fn container(&mut self, id: &str, now: BootNanos, files: &impl Files) -> Option<Found> {
        let known = if is_id(id) { files.container(id) } else { None };
        let is_meant = |w: &Wanted| match &known {
            Some(known) => known.name == w.key || (!w.key.is_empty() && id.starts_with(&w.key)),
            None => is_short_for(&w.key, id),
        };
        // A name says nothing where it can't be looked up, but that somebody wanted something to start.
        let may_be_meant = |w: &Wanted| known.is_none() && !is_id(&w.key);
        let sure = self.containers.iter().rposition(is_meant);
        let at = sure.or_else(|| self.containers.iter().rposition(may_be_meant));
        let wanted = at.map(|at| self.containers.remove(at));
        let made = self.creations.iter_mut().rfind(|c| match (&known, c.id.as_deref()) {
            (_, Some(other)) if other != id => false,
            (None, Some(_)) => true,
            (Some(known), Some(_)) => known.made.get().saturating_add(SLACK_NS) >= c.at.get(),
            (Some(known), None) => {
                known.made.get().saturating_add(SLACK_NS) >= c.at.get()
                    && known.made.since(c.at) < MADE_NS
                    && c.name.as_ref().is_none_or(|name| *name == known.name)
            }
            (None, None) => c.name.is_some() && c.name == wanted.as_ref().map(|w| w.key.clone()),
        });
        let is_his = made.is_some();
        // The engine starts it by itself.
        let by_itself = made.map(|creation| {
            let is_sure = creation.id.is_some() || creation.name.is_some();
            creation.id = Some(id.to_owned());
            (creation.by, if is_sure { Confidence::Certain } else { Confidence::Likely })
        });
        if let Some(Wanted { by, words, .. }) = wanted {
            let confidence = if sure.is_some() { Confidence::Certain } else { Confidence::Likely };
            return Some(Found { by, confidence, words, is_his });
        }
        if let Some((by, confidence)) = by_itself {
            return Some(Found { by, confidence, words: "POST /containers/create".to_owned(), is_his });
        }
        // He who describes a container makes it; who only names it may have asked how it is.
        let said = self.said_of(id, now)?;
        let is_his = holds(&said.bytes, SPEC);
        let confidence = if is_his { Confidence::Certain } else { Confidence::Likely };
        Some(Found { by: said.by, confidence, words: GRPC.to_owned(), is_his })
    }

    /// Who named that id to containerd. In its messages a text has its length in front (protobuf's wire format).
    fn said_of(&self, id: &str, now: BootNanos) -> Option<&Said> {
        let len = u8::try_from(id.len()).ok().filter(|len| (1..128).contains(len))?;
        let text = [&[len], id.as_bytes()].concat();
        self.said.iter().rev().find(|said| now.since(said.at) < SOON_NS && holds(&said.bytes, &text))
    }

    /// Who may be behind it: whose message could not be read, and not who spoke last.
    fn guess(&self, now: BootNanos) -> Option<Found> {
        let recent = self.unread.iter().filter(|(_, at)| now.since(**at) < WINDOW_NS);
        let (by, _) = recent.max_by_key(|(_, at)| **at)?;
        let words = "a request that could not be read".to_owned();
        Some(Found { by: *by, confidence: Confidence::Likely, words, is_his: true })
    }
}

const GRPC: &str = "a message to containerd";

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

fn is_id(text: &str) -> bool {
    text.len() == ID && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// True if a person who writes `key` means that id. Shorter ones might be names.
fn is_short_for(key: &str, id: &str) -> bool {
    key == id || (key.len() >= SHORT_ID && is_id(id) && id.starts_with(key))
}

fn words(request: &Http) -> String {
    format!("{} {}", request.method, request.path)
}

fn add(all: &mut Vec<Wanted>, new: Wanted) {
    all.retain(|old| (&old.key, old.by) != (&new.key, new.by));
    push(all, new);
}

/// The oldest goes first.
fn push<T>(all: &mut Vec<T>, new: T) {
    if all.len() >= MOST {
        all.remove(0);
    }
    all.push(new);
}

/// What a runtime is to do.
#[derive(Debug, PartialEq, Eq)]
enum Order {
    /// `create` or `run`.
    Start { container: String },
    /// `exec`.
    Enter { container: String, process: String },
}

impl Order {
    /// By its command line: the container comes last, a process has the name of the file for its number.
    fn of(argv: &[Bytes]) -> Option<Self> {
        let words: Vec<&str> = argv.iter().map(|arg| arg.as_utf8().unwrap_or_default()).collect();
        let at = words.iter().skip(1).position(|word| matches!(*word, "create" | "run" | "exec"))? + 1;
        let (verb, rest) = words.get(at..)?.split_first()?;
        let container = (*rest.last()?).to_owned();
        if container.is_empty() {
            return None;
        }
        if *verb != "exec" {
            return Some(Self::Start { container });
        }
        let file = rest.iter().enumerate().find_map(|(n, word)| match word.split_once('=') {
            Some(("--pid-file", file)) => Some(file),
            _ if *word == "--pid-file" => rest.get(n + 1).copied(),
            _ => None,
        });
        let process = file.and_then(|file| file.rsplit('/').next()?.strip_suffix(".pid")).unwrap_or_default();
        Some(Self::Enter { container, process: process.to_owned() })
    }
}

impl Handover {
    /// A session speaks to an engine.
    pub(super) fn ask_engine(&mut self, event: &KernelEvent, request: &Request, out: &mut Vec<Captured>) {
        let (mark, now) = (event.mark, event.boot_ns);
        if request.what == RequestWhat::Opaque {
            self.say(event, request, Trigger::Bus, Bytes::from("a message that could not be read"), out);
        }
        if speaks_grpc(request.to.as_slice()) {
            self.engines.overhear(mark, request, now);
            return;
        }
        for asked in self.engines.hear(mark, request, now).iter().filter(|asked| !asked.is_question()) {
            self.say(event, request, Trigger::Container, Bytes::from(words(asked).as_str()), out);
        }
    }

    /// Until when engines have to be looked at although nobody asks them for anything.
    pub fn engines_until(&self, now: BootNanos) -> Option<BootNanos> {
        self.engines.standing_until(now)
    }

    /// A runtime runs while an engine is at work for somebody.
    pub(super) fn runtime(
        &mut self,
        event: &KernelEvent,
        exec: &Exec,
        files: &impl Files,
        out: &mut Vec<Captured>,
    ) -> Verdict {
        let handed = |from, trigger, confidence, what: &str, evidence: &str| Handed {
            from: Some(from),
            trigger,
            confidence,
            to: Bytes::from("containerd-shim"),
            what: Bytes::from(what),
            evidence: Bytes::from(evidence),
        };
        if let Some((found, evidence)) = self.engines.started(&exec.argv, event.boot_ns, files) {
            let Found { by, confidence, words, is_his } = found;
            let handed = handed(by, Trigger::Container, confidence, &words, &evidence);
            if is_his {
                return Verdict::Known(handed);
            }
            tell(event, &handed, out);
            return Verdict::Nobodys;
        }
        // What runs is a session's own program, whoever asked for it.
        let writer = self.waiting.get(&event.mark).and_then(|waiting| waiting.branch.parent);
        let Some(by) = writer else { return Verdict::Nobodys };
        if self.plants.runs(exec.dev, exec.ino) == Run::Told {
            return Verdict::Nobodys;
        }
        let evidence = format!("inode {} on {}:{}", exec.ino, exec.dev.0, exec.dev.1);
        let path = exec.path.as_utf8().unwrap_or_default();
        Verdict::Known(handed(by, Trigger::Plant, Confidence::Certain, path, &evidence))
    }
}

#[cfg(test)]
#[path = "engines_tests.rs"]
mod tests;

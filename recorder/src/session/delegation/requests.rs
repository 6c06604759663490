//! What sessions say to sockets: read, understood, put on record, and remembered for what starts because of it.

use super::dbus::Call;
use super::engines::is_engine;
use super::words::{is_everyday, is_manager, is_of_managers, is_question, is_unit, starts};
use super::{Files, Handover, MOST};
use recorder_common::PASSED_FILES;

use crate::model::{
    Act, BootNanos, Bytes, Captured, Confidence, Delegation, DelegationRole, KernelEvent, Mark, Request,
    RequestWhat, SessionId, Shared, Trigger,
};

/// Characters that are kept of what was asked for.
const LONGEST_WORDS: usize = 1024;

impl Handover {
    /// A session speaks to a socket.
    pub(super) fn request(
        &mut self,
        event: &KernelEvent,
        request: &Request,
        files: &impl Files,
        out: &mut Vec<Captured>,
    ) {
        // From then on its receiver may have acted.
        let since = request.since.unwrap_or(event.boot_ns).min(event.boot_ns);
        let mark = event.mark;
        let key = (mark, request.connection);
        if is_engine(request.to.as_slice()) && request.what != RequestWhat::Connect {
            self.ask_engine(event, request, out);
            return;
        }
        match request.what {
            RequestWhat::Connect => {
                if !is_everyday(request.to.as_slice()) {
                    let what = Bytes::from("connect");
                    self.say(event, request, Trigger::Connect, what, out);
                }
            }
            RequestWhat::Opaque => {
                self.unread.insert(mark, since);
                self.say(event, request, Trigger::Bus, Bytes::from("a message that could not be read"), out);
            }
            RequestWhat::Terminal => self.terminal(event, request, out),
            RequestWhat::Passed { which, of } => self.passed(event, request, (which, of), out),
            RequestWhat::Send | RequestWhat::Retold => {
                // Another thread of his may have changed it since: what starts without being named in it may still be his.
                if request.what == RequestWhat::Retold {
                    self.unread.insert(mark, since);
                }
                if self.streams.len() >= MOST && !self.streams.contains_key(&key) {
                    // What was said in the middle of a message is not known any more.
                    self.unread.extend(self.streams.drain().map(|((mark, _), _)| (mark, since)));
                }
                let stream = self.streams.entry(key).or_default();
                let mut calls = stream.push(request.bytes.as_slice());
                if request.missing > 0 {
                    calls.extend(stream.gap(u64::from(request.missing)));
                }
                if !stream.is_sound() {
                    self.streams.remove(&key);
                    self.unread.insert(mark, since);
                }
                for call in calls {
                    self.call(event, request, (&call, since), files, out);
                }
            }
        }
    }

    /// A terminal was handed to whoever listens: that makes company, but at what everybody speaks to.
    fn terminal(&mut self, event: &KernelEvent, request: &Request, out: &mut Vec<Captured>) {
        if is_of_managers(request.to.as_slice()) || request.peer <= 1 {
            return self.passed(event, request, (0, 1), out);
        }
        let (to, terminal) = (request.to.clone(), request.bytes.clone());
        let act = Act::Shared(Shared { server: request.peer, to, terminal });
        out.push(Captured::Event(Box::new(KernelEvent { act, ..event.clone() })));
    }

    /// Another descriptor was handed over: that is told.
    fn passed(
        &mut self,
        event: &KernelEvent,
        request: &Request,
        (which, of): (u32, u32),
        out: &mut Vec<Captured>,
    ) {
        if event.mark == Mark::default() || is_everyday(request.to.as_slice()) {
            return;
        }
        let mut what = request.bytes.clone();
        if which + 1 == PASSED_FILES && of > PASSED_FILES {
            let more = format!("{} and {} more", what.escaped(), of - PASSED_FILES);
            what = Bytes::from(more.as_str());
        }
        self.say(event, request, Trigger::Descriptor, what, out);
    }

    fn call(
        &mut self,
        event: &KernelEvent,
        request: &Request,
        (call, since): (&Call, BootNanos),
        files: &impl Files,
        out: &mut Vec<Captured>,
    ) {
        if is_question(call) {
            return;
        }
        let named = call.strings.first().map(|name| format!(" {name}")).unwrap_or_default();
        let words: String = format!("{}{named}", call.member).chars().take(LONGEST_WORDS).collect();
        let trigger = if is_manager(call) { Trigger::Unit } else { Trigger::Bus };
        if trigger == Trigger::Unit && starts(&call.member) {
            let mut units: Vec<String> = match call.member.as_str() {
                // The unit, those that come with it, and what a timer is to start. Other strings only look like names: a slice
                // that it is to lie in, words of a command.
                "StartTransientUnit" => {
                    let started = call.strings.windows(2).filter_map(|pair| match pair {
                        [key, unit] if key == "Unit" => Some(unit),
                        _ => None,
                    });
                    let all = call.strings.first().into_iter().chain(&call.units).chain(started);
                    all.filter(|text| is_unit(text)).cloned().collect()
                }
                _ => call.strings.first().filter(|text| is_unit(text)).cloned().into_iter().collect(),
            };
            let aliases: Vec<String> = units.iter().filter_map(|unit| files.alias(unit)).collect();
            units.extend(aliases);
            let is_his = call.member == "StartTransientUnit";
            self.asked.start(event.mark, &units, &words, is_his, since);
            if call.is_cut || units.is_empty() {
                self.unread.insert(event.mark, since);
            }
        }
        let what = if trigger == Trigger::Unit || call.destination.is_empty() {
            words
        } else {
            format!("{} {words}", call.destination)
        };
        self.say(event, request, trigger, Bytes::from(what.as_str()), out);
    }

    /// Says once what a session asked for.
    pub(super) fn say(
        &mut self,
        event: &KernelEvent,
        request: &Request,
        trigger: Trigger,
        what: Bytes,
        out: &mut Vec<Captured>,
    ) {
        if self.said.len() >= 64 * MOST {
            self.said.clear();
        }
        let is_act = matches!(trigger, Trigger::Unit | Trigger::Container);
        if !is_act && !self.said.insert((event.mark, request.to.clone(), what.clone())) {
            return;
        }
        let asked = Delegation {
            role: DelegationRole::Asked,
            trigger,
            confidence: Confidence::Unresolved,
            session: SessionId::NOBODY,
            peer: request.peer,
            to: request.to.clone(),
            what,
            evidence: Bytes::default(),
        };
        out.push(Captured::Event(Box::new(KernelEvent {
            act: Act::Asked(Box::new(asked)),
            ..event.clone()
        })));
    }
}

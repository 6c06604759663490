//! One record in a few words, everything untrusted escaped.

use std::fmt::Write as _;

use super::files;
use crate::model::{
    ActedAs, Body, Bytes, Capability, ClockChange, ClockEvent, ConfigChange, CoverageChange, Cred,
    Delegation, DelegationRole, Digest, Enforcement, EnforcementAct, Exec, Exit, Grant, GrantAct, HookChange,
    HookState, Jump, Login, Loss, Overdue, Participant, Passed, Permissions, Record, Redacted, RedactedField,
    Redaction, SessionId, TaskContext, Token, Trigger, Tty, TtyOp, Uncovered,
};

/// The first digits of a session's id: enough to name it, and how people see it in tables.
pub(crate) fn short(id: SessionId) -> String {
    id.to_string().chars().take(13).collect()
}

/// What the record says.
pub(crate) fn body(record: &Record) -> String {
    of(&record.body)
}

/// What happened.
pub(crate) fn of(body: &Body) -> String {
    match body {
        Body::Exec(exec) => command(exec),
        Body::ExecFailed(failed) => super::programs::failed(failed),
        Body::Script(script) => script.path.escaped(),
        Body::Arguments(more) => super::programs::arguments(more),
        Body::Mapped(mapped) => super::programs::mapped(mapped),
        Body::Fork(fork) => format!("child {}", fork.child.pid),
        Body::Exit(exit) => status(*exit),
        Body::Cred(cred) => self::cred(cred),
        Body::File(op, file) => files::act(*op, file),
        Body::Reads(reads) => files::reads(reads),
        Body::Setattr(_, set) => files::setattr(set),
        Body::Xattr(set) => files::xattr(set),
        Body::Allocate(done) => files::allocate(done),
        Body::Call(_, call) => files::call(call),
        Body::Socket(_, socket) => files::socket(socket),
        Body::Setting(set) => format!("{} = {}", set.path.escaped(), set.value.escaped().trim_end()),
        Body::Sent(sent) => files::sent(sent),
        Body::Tty(op, tty) => terminal(*op, tty),
        Body::SessionStart(s) => format!(
            "{} euid {}>{} by {} {}",
            s.login.user.escaped(),
            s.elevation.from.euid,
            s.elevation.to.euid,
            s.elevation.via.name(),
            s.elevation.path.escaped()
        ),
        Body::SessionEnd(s) => s.reason.name().to_owned(),
        Body::Boot(b) => format!(
            "host {} kernel {} recorder {} backend {}, {} hooks, previous end {}",
            b.host.escaped(),
            b.kernel.escaped(),
            b.version.escaped(),
            b.backend.escaped(),
            b.hooks.len(),
            b.previous_end.name()
        ),
        Body::Heartbeat(h) => format!("{} sessions, {} events, {} lost", h.sessions, h.events, h.lost),
        Body::Loss(l) => loss(l),
        Body::Jump(j) => jump(j),
        Body::Stop(s) => format!("signal {}, {} sessions open", s.signal, s.open_sessions),
        Body::SessionOpened(s) => s.id.to_string(),
        Body::SessionClosed(s) => format!("{} {}, {} records", s.id, s.reason.name(), s.records),
        Body::Coverage(c) => coverage(c),
        Body::Delegation(d) => delegation(d),
        Body::Participant(p) => participant(p),
        Body::Digest(d) => super::contents::digest(d),
        Body::Changed(c) => super::contents::changed(c),
        Body::Redacted(r) => redacted(r),
        Body::Config(c) => config(c),
        Body::Guard(g) => super::tried::guard(g),
        Body::RedactionKey(_) => "of the hashes that redactions leave from here on".to_owned(),
        Body::Overdue(o) => overdue(o),
        Body::Enforcement(e) => enforcement(e),
        Body::Capability(c) => capability(c),
        Body::Context(c) => context(c),
        Body::Permissions(p) => permissions(p),
        Body::Grant(g) => grant(g),
        Body::Login(l) => login(l),
        Body::Token(t) => token(t),
        Body::Checkpoint(c) => format!("{} leaves, root {}, signed by witnesses", c.size, digest(c.root)),
        Body::Hook(h) => hook(h),
        Body::Clock(c) => clock(c),
        Body::Tombstone(t) => format!(
            "leaves {} to {} expired by permit {}, stub {}",
            t.first,
            t.first.saturating_add(t.leaves).saturating_sub(1),
            digest(t.permit),
            digest(t.stub)
        ),
        Body::Storage(s) => format!("{}: errno {}", s.operation.escaped(), s.errno),
        Body::Unknown { kind, bytes } => format!("kind {}, {} bytes", kind.code(), bytes.len()),
    }
}

/// What came of a configuration that was read again.
fn config(change: &ConfigChange) -> String {
    let mut text = change.act.name().to_owned();
    if !change.text.is_empty() {
        let _ = write!(text, ": {}", change.text.escaped());
    }
    for key in &change.keys {
        let value = |value: &Option<Bytes>| value.as_ref().map_or("-".into(), Bytes::escaped);
        let when = key.takes.name().replace('_', " ");
        let _ =
            write!(text, "; {}: {} -> {} ({when})", key.key.escaped(), value(&key.before), value(&key.after));
    }
    text
}

/// Whether a grant covers the session.
pub(crate) fn coverage(change: &CoverageChange) -> String {
    let mut text = change.coverage.name().replace('_', " ");
    if let Some(reason) = change.coverage.reason() {
        let _ = write!(text, ", {}", reason.name().replace('_', " "));
    }
    if let Some(grant) = change.coverage.grant() {
        let _ = write!(text, " by grant {}", digest(grant));
    }
    for (what, bytes) in [("for", &change.person), ("incident", &change.incident)] {
        if !bytes.is_empty() {
            let _ = write!(text, " {what} {}", bytes.escaped());
        }
    }
    text
}

/// How often a program used a capability.
pub(crate) fn capability(used: &Capability) -> String {
    format!("{} {}", shown(&used.program), capability_use(used))
}

/// What one program used.
pub(crate) fn uses(uses: &[Capability]) -> String {
    let program = uses.first().map(|used| shown(&used.program)).unwrap_or_default();
    format!("{program}: {}", uses.iter().map(capability_use).collect::<Vec<_>>().join(", "))
}

/// `net_raw x3`, `refused sys_admin`.
fn capability_use(used: &Capability) -> String {
    let refused = if used.granted == 0 { "refused " } else { "" };
    let inner = if used.inner == 0 { "" } else { " (in its own user namespace)" };
    format!("{refused}{}{}{inner}", used.name(), times(used.count))
}

/// Where a process lives from here on.
pub(crate) fn context(context: &TaskContext) -> String {
    if context.is_host() {
        return "back in the host's namespaces".to_owned();
    }
    let own: Vec<&str> = context.own_names().collect();
    let namespaces = if own.is_empty() {
        "the host's namespaces".to_owned()
    } else {
        format!("{} namespace of its own", own.join(", "))
    };
    let path =
        if context.path.is_empty() { String::new() } else { format!(", cgroup {}", context.path.escaped()) };
    format!("in {}: {namespaces}{path}", place(context))
}

/// The same in a word or two.
pub(crate) fn place(context: &TaskContext) -> String {
    let Some(engine) = context.engine.name() else { return "other namespaces".to_owned() };
    let id: String = context.container.escaped().chars().take(12).collect();
    format!("{engine} {id}")
}

/// As whom a session acted, and which programs gave it rights.
pub(crate) fn permissions(permissions: &Permissions) -> String {
    let user = |u: &ActedAs| {
        let uid = if u.uid == u32::MAX { "others".to_owned() } else { u.uid.to_string() };
        format!("{uid} by {}{}", shown(&u.program), times(u.count))
    };
    let program = |p: &Passed| {
        let how = p.names().collect::<Vec<_>>().join(", ").replace('_', " ");
        let gained = match p.gained {
            0 => ", gave nothing new".to_owned(),
            n if n == p.count => String::new(),
            n => format!(", gave rights {n} times"),
        };
        format!("{} ({how}){}{gained}", shown(&p.path), times(p.count))
    };
    let users: Vec<String> = permissions.users.iter().map(user).collect();
    let programs: Vec<String> = permissions.programs.iter().map(program).collect();
    let through =
        if programs.is_empty() { String::new() } else { format!("; through {}", programs.join("; ")) };
    format!("acted as uid {}{through}", users.join(", "))
}

fn shown(path: &Bytes) -> String {
    if path.is_empty() { "an unknown program".to_owned() } else { path.escaped() }
}

pub(super) fn times(count: u64) -> String {
    if count > 1 { format!(" x{count}") } else { String::new() }
}

/// A process that outlives its grant.
pub(crate) fn enforcement(enforcement: &Enforcement) -> String {
    let Enforcement { act, coverage, task, count, text } = enforcement;
    let (pid, text) = (task.pid, text.escaped());
    let why = coverage.reason().map_or_else(|| coverage.name(), |reason| reason.name());
    match act {
        EnforcementAct::Refused => format!("not started: {text} ({why})"),
        EnforcementAct::Stopped => format!("ended before its first instruction: {text} ({why})"),
        EnforcementAct::Killed => format!("process {pid} ended: {text} ({why})"),
        EnforcementAct::HungUp => format!("{count} processes told to end ({why})"),
        EnforcementAct::Told => format!("told: {text}"),
        EnforcementAct::Denied => format!("denied before it began: {text} ({why})"),
        EnforcementAct::Paused => format!("{count} processes stopped for a moment: {text}"),
        EnforcementAct::Resumed => format!("goes on: {text}"),
        EnforcementAct::Relented => "a grant came in time".to_owned(),
        EnforcementAct::Unknown(code) => format!("act {code} ({why})"),
    }
}

/// Who sits at the session, where, and whether his own grants would allow it.
pub(crate) fn participant(p: &Participant) -> String {
    let mut text = p.login.user.escaped();
    if !p.person.is_empty() {
        let _ = write!(text, " ({})", p.person.escaped());
    }
    if !p.login.remote.is_empty() {
        let _ = write!(text, " from {}", p.login.remote.escaped());
    }
    let _ = write!(text, " sits at it on {}, through {}", p.terminal.escaped(), p.program.escaped());
    if p.session != SessionId::NOBODY {
        let _ = write!(text, ", session {}", p.session);
    }
    if let Some(coverage) = p.coverage {
        let _ =
            write!(text, ", his own grants: {}", coverage.reason().map_or(coverage.name(), Uncovered::name));
    }
    text
}

/// What was taken out of the record before it.
pub(crate) fn redacted(redacted: &Redacted) -> String {
    let place = |p: &Redaction| {
        let index = if p.field == RedactedField::Argv { format!(" {}", p.index) } else { String::new() };
        let hash = p.hash.map_or_else(String::new, |hash| format!(", hash {}", digest(hash)));
        format!("{}{index}, {} bytes by rule {}{hash}", p.field.name(), p.bytes, p.rule.escaped())
    };
    let places: Vec<String> = redacted.places.iter().map(place).collect();
    format!("taken out of the {} before: {}", redacted.of.name(), places.join("; "))
}

/// Work that was handed over, or came from somewhere.
pub(crate) fn delegation(d: &Delegation) -> String {
    let (what, to) = (d.what.escaped(), d.to.escaped());
    let nobody = d.session == SessionId::NOBODY;
    let mut text = match d.role {
        DelegationRole::Asked if d.trigger == Trigger::Control => {
            let mut text = format!("took hold of process {} ({to}): {what}", d.peer);
            if !nobody {
                let _ = write!(text, ", of session {}", d.session);
            }
            text
        }
        DelegationRole::Asked if d.trigger == Trigger::Descriptor => {
            format!("handed {what} to process {} at {to}", d.peer)
        }
        DelegationRole::Asked if d.trigger == Trigger::Terminal => {
            let mut text = format!("sits down at {what}, process {}", d.peer);
            if !nobody {
                let _ = write!(text, ", of session {}", d.session);
            }
            text
        }
        DelegationRole::Held => {
            format!("session {} took hold of process {} ({to}): {what}", d.session, d.peer)
        }
        DelegationRole::Asked => format!("asked {to}: {what}"),
        DelegationRole::To if nobody => format!("{what} was started in {to}, not followed"),
        DelegationRole::To => format!("{what} became session {} in {to}", d.session),
        DelegationRole::By if nobody => format!("{what}, a job of the host"),
        DelegationRole::By => format!("{what}, asked for by session {}", d.session),
        DelegationRole::Unknown(code) => format!("role {code}: {what}"),
    };
    if !d.evidence.is_empty() {
        let _ = write!(text, " ({})", d.evidence.escaped());
    }
    let _ = write!(text, ", {}", d.confidence.name());
    text
}

/// A process that outlives its grant.
pub(crate) fn overdue(overdue: &Overdue) -> String {
    format!(
        "process {} outlives grant {} ({})",
        overdue.task.pid,
        digest(overdue.grant),
        overdue.reason.name()
    )
}

/// What happened to a grant.
pub(crate) fn grant(grant: &Grant) -> String {
    if grant.act == GrantAct::Memory {
        return format!("{} of what is in force, {} bytes", grant.act.name(), grant.bytes.len());
    }
    let what = if grant.kind.is_empty() { String::new() } else { format!(" {}", grant.kind.escaped()) };
    let mut text = format!("{}{what} {}", grant.act.name(), digest(grant.document));
    for (what, bytes) in [("for", &grant.person), ("by", &grant.signer), ("key", &grant.key)] {
        if !bytes.is_empty() {
            let _ = write!(text, " {what} {}", bytes.escaped());
        }
    }
    if !grant.text.is_empty() {
        let _ = write!(text, ": {}", grant.text.escaped());
    }
    text
}

/// What happened to a token.
pub(crate) fn token(token: &Token) -> String {
    let mut text = format!("{} token {}", token.act.name(), digest(token.token));
    if token.grant != Digest::default() {
        let _ = write!(text, " for grant {}", digest(token.grant));
    }
    for (what, bytes) in [("by", &token.person), ("on", &token.host), ("issued by", &token.signer)] {
        if !bytes.is_empty() {
            let _ = write!(text, " {what} {}", bytes.escaped());
        }
    }
    if !token.text.is_empty() {
        let _ = write!(text, ": {}", token.text.escaped());
    }
    text
}

/// Who logged in, and how.
pub(crate) fn login(login: &Login) -> String {
    let mut text = format!("{} by {}", login.account.escaped(), login.service.escaped());
    for (what, bytes) in [
        ("from", &login.remote),
        ("with", &login.auth),
        ("key", &login.key),
        ("certificate", &login.certificate),
        ("of", &login.authority),
        ("is", &login.person),
    ] {
        if !bytes.is_empty() {
            let _ = write!(text, " {what} {}", bytes.escaped());
        }
    }
    text
}

/// The first digits of a document's name: how people see it in tables.
pub(crate) fn digest(digest: Digest) -> String {
    digest.to_string().chars().take(12).collect()
}

/// A command line, and the program where its name doesn't tell it.
pub(crate) fn command(exec: &Exec) -> String {
    let argv: Vec<String> = exec.argv.iter().map(quoted).collect();
    let (line, path) = (argv.join(" "), exec.path.escaped());
    let name = exec.argv.first().map(Bytes::as_slice).unwrap_or_default();
    let same = path
        .rsplit('/')
        .next()
        .is_some_and(|base| base.as_bytes() == name.rsplit(|b| *b == b'/').next().unwrap_or_default());
    let cut = exec
        .cut
        .as_ref()
        .map_or_else(String::new, |cut| format!(" [{} cut, {} bytes]", cut.field.name(), cut.bytes));
    if line.is_empty() {
        format!("{path}{cut}")
    } else if same {
        format!("{line}{cut}")
    } else {
        format!("{line}{cut} ({path})")
    }
}

/// An argument as it could be typed: quoted where a shell would split it.
fn quoted(arg: &Bytes) -> String {
    let text = arg.escaped();
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%^~\\{}[]*?!".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

fn terminal(op: TtyOp, tty: &Tty) -> String {
    let name = tty.name.escaped();
    if let Some(relay) = tty.relay() {
        let bytes = tty.folded();
        return format!("{name} #{} {bytes} bytes stand on #{} from byte {}", tty.no, relay.no, relay.from);
    }
    match op {
        TtyOp::Resize => format!("{name} #{} {}x{}", tty.no, tty.cols, tty.rows),
        TtyOp::Input => format!("{name} #{} {} bytes, {} not kept", tty.no, tty.data.len(), tty.hidden),
        TtyOp::Output => {
            let text = tty.data.escaped();
            let short: String = text.chars().take(120).collect();
            let more = if short.len() < text.len() { "…" } else { "" };
            let folded = match tty.folded() {
                0 => String::new(),
                folded => format!("{folded} bytes folded, then "),
            };
            format!("{name} #{} {folded}{} bytes: {short}{more}", tty.no, tty.data.len())
        }
    }
}

/// How a process ended.
pub(crate) fn status(exit: Exit) -> String {
    match exit {
        Exit { signal: 0, code, .. } => format!("exit {code}"),
        Exit { signal, core: 0, .. } => format!("killed by signal {signal}"),
        Exit { signal, .. } => format!("killed by signal {signal}, core dumped"),
    }
}

/// What changed in credentials.
pub(crate) fn cred(cred: &Cred) -> String {
    let (old, new) = (&cred.old, &cred.new);
    let ids = [
        ("uid", old.uid, new.uid),
        ("euid", old.euid, new.euid),
        ("suid", old.suid, new.suid),
        ("fsuid", old.fsuid, new.fsuid),
        ("gid", old.gid, new.gid),
        ("egid", old.egid, new.egid),
    ];
    let ids =
        ids.iter().filter(|(_, old, new)| old != new).map(|(name, old, new)| format!("{name} {old} > {new}"));
    let (old, new) = (&cred.old_caps, &cred.new_caps);
    let caps = [("caps", old.effective, new.effective), ("permitted caps", old.permitted, new.permitted)];
    let caps = caps
        .iter()
        .filter(|(_, old, new)| old != new)
        .map(|(name, old, new)| format!("{name} {old:#x} > {new:#x}"));
    let changes: Vec<String> = ids.chain(caps).collect();
    if changes.is_empty() { "unchanged".to_owned() } else { changes.join(", ") }
}

/// How far the wall clock stepped.
pub(crate) fn jump(jump: &Jump) -> String {
    let moved = i128::from(jump.after.real.get()) - i128::from(jump.before.real.get());
    let ran = i128::from(jump.after.boot.get()) - i128::from(jump.before.boot.get());
    format!("the wall clock stepped by {} ms", (moved - ran) / 1_000_000)
}

/// What became of a hook.
pub(crate) fn hook(hook: &HookChange) -> String {
    let name = hook.name.escaped();
    let seconds = hook.clock.boot.since(hook.since) / 1_000_000_000;
    match hook.state {
        HookState::Dead => format!("{name} does not see: {} canaries lost in {seconds} s", hook.misses),
        HookState::Back => format!("{name} sees again after {seconds} s"),
        HookState::LinkMissing => format!("{name} is not attached any more"),
        HookState::Unknown(code) => format!("{name}: state {code}"),
    }
}

/// What a clock did.
pub(crate) fn clock(clock: &ClockChange) -> String {
    let seconds = clock.after.boot.since(clock.before.boot) / 1_000_000_000;
    match clock.event {
        ClockEvent::Slew => format!("the clocks ran off by {} ms in {seconds} s", clock.nanos / 1_000_000),
        ClockEvent::Suspend => format!("the host slept for {} s", clock.nanos / 1_000_000_000),
        ClockEvent::Unknown(code) => format!("event {code}"),
    }
}

/// A declared loss.
pub(crate) fn loss(loss: &Loss) -> String {
    format!(
        "{} {} events lost ({}, {} ring, cpu {})",
        loss.count,
        loss.class.escaped(),
        loss.reason.name(),
        loss.ring.escaped(),
        loss.cpu
    )
}

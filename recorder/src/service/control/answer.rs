//! One question in, one answer out.

use std::{
    sync::{Arc, OnceLock, mpsc::SyncSender},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::{sync::oneshot, time::timeout};

use super::{
    Facts, MarkOf,
    limits::Rates,
    may::{self, Ask, Decision, Rules},
    orders::Order,
    question::{Question, wants_plain},
    status,
};
use crate::{
    grant::AuthInfo,
    model::{Bytes, Coverage, Digest, Login},
    service::{
        anchor::Anchors,
        board::{Board, Snapshot},
        retention::Retention,
        standing::Gauge,
    },
    sys::{bell::Bell, clock},
};

/// How long the board may take to show what the kernel says, or anything at all behind a start.
const BOARD_WAIT: Duration = Duration::from_millis(500);
/// The pump may be held up by a disk that hangs.
const PUMP_WAIT: Duration = Duration::from_secs(5);
/// How long a login waits for the pump.
const LOGIN_WAIT: Duration = Duration::from_millis(300);
/// Bytes of a word that PAM gives: names and addresses are shorter.
const MAX_WORD: usize = 1024;

/// Who asks, by the kernel's word. No process id: it lies in another pid namespace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) uid: u32,
    pub(super) pid: Option<u32>,
}

/// Everything that an answer is made of.
pub(super) struct Clerk {
    pub(super) facts: Facts,
    pub(super) rules: Rules,
    pub(super) mark_of: MarkOf,
    pub(super) board: Board,
    pub(super) orders: SyncSender<Order>,
    /// Wakes who carries them out.
    pub(super) bell: Bell,
    pub(super) rates: Rates,
    pub(super) anchors: Anchors,
    pub(super) gauge: Gauge,
    /// Set when the journal is open.
    pub(super) retention: OnceLock<Arc<Retention>>,
}

/// An answer before it has its form.
struct Reply {
    /// First line of the text.
    word: &'static str,
    /// The text's other lines.
    lines: Vec<String>,
    /// Fields of the JSON, beside `v` and `ok`.
    fields: Value,
}

/// Answers a line, whatever it holds.
pub(super) async fn answer(clerk: &Clerk, peer: Peer, line: &[u8]) -> Vec<u8> {
    let question = match Question::parse(line) {
        Ok(question) => question,
        Err(why) => return refusal(&why, wants_plain(line)),
    };
    let plain = question.plain();
    match clerk.reply(peer, question).await {
        Ok(reply) if plain => text(reply.word, &reply.lines),
        Ok(Reply { mut fields, .. }) => {
            if let Some(fields) = fields.as_object_mut() {
                fields.insert("v".into(), 1.into());
                fields.insert("ok".into(), true.into());
            }
            json_line(&fields)
        }
        Err(why) => refusal(&why, plain),
    }
}

/// The answer to what could not be answered.
pub(super) fn refusal(why: &str, plain: bool) -> Vec<u8> {
    if plain {
        text("error", &[why.to_owned()])
    } else {
        json_line(&json!({"v": 1, "ok": false, "error": why}))
    }
}

fn json_line(value: &Value) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}

fn text(word: &str, lines: &[String]) -> Vec<u8> {
    let mut out = format!("{word}\n");
    for line in lines {
        out.push_str(&Bytes::from(line.as_str()).escaped());
        out.push('\n');
    }
    out.into_bytes()
}

impl Clerk {
    async fn reply(&self, peer: Peer, question: Question) -> Result<Reply, String> {
        match question {
            Question::Status { all, .. } => self.status(peer, all).await,
            Question::Checkpoint { .. } => {
                root_only(peer)?;
                let (note, key) = self.anchors.current().map_err(str::to_owned)?;
                let fields = json!({"note": note, "key": key});
                Ok(Reply { word: "allow", lines: note.lines().map(str::to_owned).collect(), fields })
            }
            Question::Add { document, signature, .. } => self.add(peer, &document, &signature).await,
            Question::Expire { document, signature, .. } => {
                root_only(peer)?;
                self.expire(&document, &signature).await
            }
            Question::Login { account, service, remote, tty, auth_info, pid, audit_session, .. } => {
                root_only(peer)?;
                let word = |text: Option<String>| text.map(|t| Bytes::from(cut(&t))).unwrap_or_default();
                let info = auth_info.map(|text| AuthInfo::parse(&text)).unwrap_or_default();
                let (certificate, serial, authority) =
                    info.certificate.map(|c| (c.id, c.serial, c.authority)).unwrap_or_default();
                self.login(Login {
                    account: Bytes::from(cut(&account)),
                    service: word(service),
                    remote: word(remote),
                    tty: word(tty),
                    auth: Bytes::from(info.methods.as_str()),
                    key: Bytes::from(info.key.unwrap_or_default().as_str()),
                    certificate: Bytes::from(cut(&certificate)),
                    serial,
                    authority: Bytes::from(authority.as_str()),
                    audit_session: audit_session.unwrap_or(u32::MAX),
                    pid,
                    person: Bytes::default(),
                    kept: Digest::default(),
                })
                .await
            }
            Question::May { account, target, argv, audit_session, token, .. } => {
                root_only(peer)?;
                let snapshot = self.ready().await?;
                let target = target.as_deref();
                let plain = || format!("as {}", cut(target.unwrap_or("root")));
                let wish = argv.as_ref().map_or_else(plain, |argv| command_line(argv));
                let ask = Ask {
                    account: &account,
                    audit_session: audit_session.unwrap_or(u32::MAX),
                    token: None,
                    target,
                    wanted: argv.map(|argv| may::wanted(target.unwrap_or("root"), &argv)),
                };
                let ledger = snapshot.ledger.as_deref();
                let token = match token {
                    Some(text) => Some(self.use_token(text, &account, ask.audit_session).await?),
                    None => None,
                };
                let ask = Ask {
                    token: token
                        .as_ref()
                        .map(|used| used.as_ref().map(|grant| *grant).map_err(String::as_str)),
                    ..ask
                };
                Ok(match may::decide(&self.rules, ledger, &ask, clock::boot()) {
                    Decision::Allow(line) => decided("allow", line),
                    Decision::Deny(line, coverage) => {
                        self.note_denial(peer, coverage, &wish);
                        decided("deny", Some(line))
                    }
                })
            }
        }
    }

    /// The board, once the pump has gone round.
    async fn ready(&self) -> Result<Snapshot, String> {
        let late = || "the recorder has just started; ask again".to_owned();
        let mut board = self.board.clone();
        let ready =
            board.wait_for(|snapshot| snapshot.ready && (snapshot.ledger.is_some() || !self.facts.watched));
        let snapshot = timeout(BOARD_WAIT, ready).await.map_err(|_| late())?;
        snapshot.map(|snapshot| snapshot.clone()).map_err(|_| late())
    }

    async fn status(&self, peer: Peer, all: bool) -> Result<Reply, String> {
        if all {
            root_only(peer)?;
        }
        let mut snapshot = self.ready().await?;
        let mark = peer.pid.map(|pid| (self.mark_of)(pid)).transpose();
        let mark =
            mark.map_err(|error| format!("the session of the caller can't be read: {error}"))?.flatten();
        if let Some(mark) = mark {
            // The kernel knows it before the pump has seen the event. Nobody who is recorded is told that he is not.
            let mut board = self.board.clone();
            let shown = board.wait_for(|snapshot| snapshot.sessions.contains_key(&mark));
            let late = |_| "you are recorded; the session is about to be opened, ask again".to_owned();
            snapshot = timeout(BOARD_WAIT, shown).await.map_err(late)?.map_err(|e| e.to_string())?.clone();
        }
        let fields = status::fields(&self.facts, &snapshot, peer.pid, mark, all, clock::pair());
        let mut fields = fields;
        if all && let Some(fields) = fields.as_object_mut() {
            fields.insert("anchor".into(), status::anchor(&self.anchors.told()));
            let now = Instant::now();
            fields.insert("storage".into(), status::storage(self.gauge.look(now), clock::pair().real, now));
        }
        let line = match fields.pointer("/session/id").and_then(Value::as_str) {
            Some(id) => format!("recorded: session {id}"),
            None => "not recorded".to_owned(),
        };
        Ok(Reply { word: "allow", lines: vec![line], fields })
    }

    async fn add(&self, peer: Peer, document: &str, signature: &str) -> Result<Reply, String> {
        let (document, signature) = (bytes("document", document)?, bytes("signature", signature)?);
        if !self.rates.take(peer.uid, Instant::now()) {
            return Err("too many documents; wait a few seconds".to_owned());
        }
        let (sender, receiver) = oneshot::channel();
        self.order(Order::Add { document, signature, uid: peer.uid, answer: sender })?;
        let added = timeout(PUMP_WAIT, receiver).await.ok().and_then(Result::ok);
        let added = added
            .ok_or("the recorder is busy or ends; whether the document was received is in the journal")?
            .ok_or("no grants are watched on this host (docs/grants.md)")?;
        let verdict = if added.received { "received" } else { "refused" };
        let id = added.id.to_string();
        let state = added.state.as_deref().map(|state| format!("; the grant is {state}"));
        let why = if added.text.is_empty() { String::new() } else { format!(": {}", added.text) };
        let line = format!("{verdict} {id}{why}{}", state.unwrap_or_default());
        let fields = json!({
            "id": id,
            "kind": (!added.kind.is_empty()).then_some(added.kind),
            "verdict": verdict,
            "text": (!added.text.is_empty()).then_some(added.text),
            "state": added.state,
        });
        Ok(Reply { word: if added.received { "allow" } else { "deny" }, lines: vec![line], fields })
    }

    /// Answered when the segments are gone, however long their stubs take to be made.
    async fn expire(&self, document: &str, signature: &str) -> Result<Reply, String> {
        let (document, signature) = (bytes("document", document)?, bytes("signature", signature)?);
        let retention = self.retention.get().ok_or("the recorder has just started; ask again")?;
        let retention = Arc::clone(retention);
        let open = self.ready().await?.sessions.values().map(|open| open.id).collect();
        let work = tokio::task::spawn_blocking(move || retention.apply(&document, &signature, &open));
        let done = work.await.map_err(|_| "the recorder ends".to_owned())??;
        let (permit, bytes) = (done.permit.to_string(), done.bytes);
        let line = format!(
            "expired {} segments, {bytes} bytes, by permit {permit}; {} were expired before",
            done.segments, done.before
        );
        let fields =
            json!({"permit": permit, "segments": done.segments, "before": done.before, "bytes": bytes});
        Ok(Reply { word: "allow", lines: vec![line], fields })
    }

    /// Answered when the kernel knows what the token opens.
    async fn use_token(
        &self,
        text: String,
        account: &str,
        audit_session: u32,
    ) -> Result<Result<Digest, String>, String> {
        let (sender, receiver) = oneshot::channel();
        self.order(Order::Token { text, account: account.to_owned(), audit_session, answer: sender })?;
        let used = timeout(PUMP_WAIT, receiver).await.ok().and_then(Result::ok);
        let used =
            used.ok_or("the recorder is busy or ends; whether the token was used is in the journal")?;
        Ok(used.unwrap_or_else(|| Err("no grants are watched on this host".to_owned())))
    }

    /// Every decision is a record: of the session that sudo's own start has opened. Nobody waits for it.
    fn note_denial(&self, peer: Peer, coverage: Coverage, wish: &str) {
        let pid = peer.pid.unwrap_or_default();
        if let Ok(Some(mark)) = (self.mark_of)(pid)
            && let Err(error) = self.order(Order::Denied { mark, pid, coverage, text: wish.to_owned() })
        {
            tracing::warn!(error, "a denial could not be recorded");
        }
    }

    /// Answered from the board, once the pump has taken it and the kernel knows whose gate is his: what begins behind this
    /// answer is judged by it. A pump that is held up is not waited for: PAM's patience is a second.
    async fn login(&self, login: Login) -> Result<Reply, String> {
        let snapshot = self.ready().await?;
        let account = login.account.as_utf8().unwrap_or_default();
        let person = snapshot.ledger.as_deref().and_then(|ledger| ledger.person_by(account, &login));
        let fields = json!({"person": person});
        let lines = person.map(|person| format!("this login is {person}'s")).into_iter().collect();
        let (sender, known) = oneshot::channel();
        self.order(Order::Login(Box::new(login), sender))?;
        let _ = timeout(LOGIN_WAIT, known).await;
        Ok(Reply { word: "allow", lines, fields })
    }

    fn order(&self, order: Order) -> Result<(), String> {
        self.orders.try_send(order).map_err(|_| "the recorder is busy; ask again".to_owned())?;
        self.bell.ring();
        Ok(())
    }
}

fn bytes(name: &str, text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| format!("{name} is no base64: {error}"))
}

fn root_only(peer: Peer) -> Result<(), String> {
    if peer.uid == 0 { Ok(()) } else { Err("only root may ask this".to_owned()) }
}

fn decided(word: &'static str, line: Option<String>) -> Reply {
    let fields = json!({"decision": word, "line": line});
    Reply { word, lines: line.into_iter().collect(), fields }
}

/// Words as a shell would take them, so that it shows where each ends. None is cut: half a secret would be none to any rule.
fn command_line(argv: &[String]) -> String {
    let mut line = String::new();
    for word in argv {
        let word = may::quoted(word);
        if line.len().saturating_add(word.len()) >= MAX_WORD {
            line.push_str(" …");
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    line
}

/// The beginning of a word that is too long.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_WORD)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g7_a_refused_command_shows_where_each_word_ends_and_none_is_cut() {
        let line = |words: &[&str]| command_line(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(line(&["/usr/bin/id", "-u"]), "/usr/bin/id -u");
        assert_eq!(
            line(&["mysql", "--password", "two words", "a'b"]),
            "mysql --password 'two words' 'a'\\''b'"
        );
        let long = "x".repeat(MAX_WORD);
        assert_eq!(line(&["a", &long, "b"]), "a …");
    }
}

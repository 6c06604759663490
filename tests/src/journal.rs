//! What the reading commands print, as the suites look at it (JSON shapes: docs/cli.md).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::{pty, recorder::Site, truth::sha256};

/// All records of a journal, in journal order.
pub struct Events(pub Vec<Value>);

impl Events {
    /// `recorder events --format ndjson`.
    pub fn load(site: &Site) -> Result<Self> {
        Self::parse(&site.read_ok(&["events", "--format", "ndjson"])?)
    }

    /// From ndjson text.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let mut events = Vec::new();
        for (number, line) in text.split(|&b| b == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
            events.push(
                serde_json::from_slice(line).with_context(|| format!("line {} is no JSON", number + 1))?,
            );
        }
        Ok(Self(events))
    }

    /// Records of one kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |event| text(event, &["kind"]) == kind)
    }

    /// The sum of all declared losses.
    pub fn lost(&self) -> u64 {
        self.of_kind("loss").map(|event| number(event, &["loss", "count"]).unwrap_or(1)).sum()
    }

    /// # Errors
    /// What was lost, if anything was.
    pub fn nothing_lost(&self) -> Result<()> {
        let losses: Vec<_> =
            self.of_kind("loss").filter_map(|event| field(event, &["loss"])).map(Value::to_string).collect();
        ensure!(self.lost() == 0, "{} events were lost: {}", self.lost(), losses.join(", "));
        Ok(())
    }

    /// How often each argument of a successful exec occurs.
    pub fn exec_args(&self) -> HashMap<&str, u32> {
        let mut found = HashMap::new();
        for event in self.of_kind("exec") {
            for arg in argv(event) {
                *found.entry(arg).or_insert(0) += 1;
            }
        }
        found
    }

    /// Execs with this exact argument.
    pub fn execs_with<'a>(&'a self, arg: &'a str) -> impl Iterator<Item = &'a Value> {
        self.of_kind("exec").filter(move |event| argv(event).any(|a| a == arg))
    }

    /// The one session in which a program got this argument.
    pub fn session_of(&self, arg: &str) -> Result<String> {
        let mut sessions: Vec<_> = self.execs_with(arg).map(|event| text(event, &["session"])).collect();
        sessions.sort_unstable();
        sessions.dedup();
        match sessions.as_slice() {
            [] => bail!("no exec with the argument {arg}"),
            [""] => bail!("the exec with {arg} belongs to no session"),
            [one] => Ok((*one).to_owned()),
            many => bail!("execs with {arg} are spread over the sessions {many:?}"),
        }
    }

    /// What a session that came of another one says of that.
    pub fn came_by(&self, session: &str) -> Result<&Value> {
        self.of_kind("delegation")
            .find(|e| text(e, &["session"]) == session && text(e, &["delegation", "role"]) == "by")
            .with_context(|| format!("session {session} came of nobody"))
    }

    /// All recorded input, in order.
    pub fn typed(&self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        for event in self.of_kind("tty_input") {
            all.extend(STANDARD.decode(text(event, &["tty", "data"])).context("tty.data is not base64")?);
        }
        Ok(all)
    }

    /// What each terminal showed, by name, in order.
    pub fn shown(&self) -> Result<HashMap<String, Vec<u8>>> {
        let mut streams: HashMap<String, Vec<u8>> = HashMap::new();
        for event in self.of_kind("tty_output") {
            let name = text(event, &["tty", "name"]).trim_start_matches("/dev/").to_owned();
            let data = STANDARD.decode(text(event, &["tty", "data"])).context("tty.data is not base64")?;
            streams.entry(name).or_default().extend(data);
        }
        Ok(streams)
    }
}

/// What a terminal of a session showed, or what was typed there.
#[derive(Debug, Default)]
pub struct Stream {
    /// All bytes.
    pub bytes: Vec<u8>,
    /// How many of them are not stored here: a relay copied them.
    pub left_out: usize,
}

impl Events {
    /// The terminals of a session by number. What a relay copied is taken from where it stands, its hash computed anew.
    pub fn streams(&self, session: &str, kind: &str) -> Result<BTreeMap<u64, Stream>> {
        let records: Vec<_> =
            self.of_kind(kind).filter(|event| text(event, &["session"]) == session).collect();
        let no = |event: &Value| number(event, &["tty", "no"]).context("a terminal without a number");
        let numbers = records.iter().map(|event| no(event)).collect::<Result<BTreeSet<_>>>()?;
        let mut streams = BTreeMap::<u64, Stream>::new();
        for of in numbers {
            let mut stream = Stream::default();
            for event in &records {
                if no(event)? != of {
                    continue;
                }
                if field(event, &["cut"]).is_some_and(|cut| !cut.is_null()) {
                    let place = |key| number(event, &["cut", "relay", key]).context("a flood, no relay");
                    let from = usize::try_from(place("from")?)?;
                    let len = usize::try_from(number(event, &["cut", "bytes"]).unwrap_or(0))?;
                    let outer = streams.get(&place("no")?).context("the outer terminal is not older")?;
                    let part = outer.bytes.get(from..from + len).context("more than the outer one showed")?;
                    if text(event, &["cut", "sha256"]) != sha256(part) {
                        bail!("terminal {of}: another hash from byte {} on", stream.bytes.len());
                    }
                    stream.bytes.extend_from_slice(part);
                    stream.left_out += len;
                }
                stream.bytes.extend(STANDARD.decode(text(event, &["tty", "data"])).context("no base64")?);
            }
            streams.insert(of, stream);
        }
        Ok(streams)
    }
}

/// The arguments of an exec record.
pub fn argv(event: &Value) -> impl Iterator<Item = &str> {
    event.pointer("/exec/argv").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// A text field by path; empty when absent or null.
pub fn text<'a>(event: &'a Value, path: &[&str]) -> &'a str {
    field(event, path).and_then(Value::as_str).unwrap_or_default()
}

/// A text of each member of a list, in its order: the codes of a verdict's findings.
pub fn texts<'a>(report: &'a Value, list: &str, key: &str) -> Vec<&'a str> {
    let members = report.get(list).and_then(Value::as_array);
    members.into_iter().flatten().map(|member| text(member, &[key])).collect()
}

/// A number by path.
pub fn number(event: &Value, path: &[&str]) -> Option<u64> {
    field(event, path).and_then(Value::as_u64)
}

/// Any field by path.
pub fn field<'a>(event: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(event, |value, key| value.get(key))
}

/// `recorder sessions --format json`.
pub fn sessions(site: &Site) -> Result<Vec<Value>> {
    let text = site.read_ok(&["sessions", "--format", "json"])?;
    let mut found = Vec::new();
    for value in serde_json::Deserializer::from_slice(&text).into_iter::<Value>() {
        match value.context("sessions printed no JSON")? {
            Value::Array(list) => found.extend(list),
            Value::Object(map) => match map.get("sessions").and_then(Value::as_array) {
                Some(list) => found.extend(list.iter().cloned()),
                None => found.push(Value::Object(map)),
            },
            other => bail!("sessions printed {other}"),
        }
    }
    Ok(found)
}

/// Every file below `dir` that contains these bytes.
pub fn files_containing(dir: &Path, needle: &[u8]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for path in files(dir)? {
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if pty::find(&bytes, needle).is_some() {
            found.push(path.display().to_string());
        }
    }
    Ok(found)
}

/// The segments of a journal, sorted.
pub fn segments(journal: &Path) -> Result<Vec<std::path::PathBuf>> {
    Ok(files(journal)?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "rj")).collect())
}

/// All regular files below `dir`, sorted.
pub fn files(dir: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                dirs.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = r#"{"kind":"exec","session":"s1","exec":{"argv":["true","x-1"]}}
{"kind":"exec","session":"s2","exec":{"argv":["true","x-2"]}}
{"kind":"exec","session":null,"exec":{"argv":["true","x-3"]}}
{"kind":"loss","session":null,"loss":{"count":8}}
{"kind":"tty_output","tty":{"name":"pts/3","data":"YWI="}}
{"kind":"tty_output","tty":{"name":"pts/3","data":"Yw=="}}
"#;

    #[test]
    fn answers_from_the_documented_shape() {
        let events = Events::parse(LINES.as_bytes()).unwrap();
        assert_eq!(events.lost(), 8);
        assert_eq!(events.session_of("x-2").unwrap(), "s2");
        assert!(events.session_of("x-3").unwrap_err().to_string().contains("no session"));
        assert!(events.session_of("true").unwrap_err().to_string().contains("spread"));
        assert!(events.session_of("x-4").is_err());
        assert_eq!(events.shown().unwrap()["pts/3"], b"abc");
    }
}

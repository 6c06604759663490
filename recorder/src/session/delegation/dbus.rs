//! What a client says on a D-Bus connection: method calls, from bytes that the recorded person chose.
//!
//! A stream begins with lines (SASL) up to `BEGIN`; messages follow back to back, split and joined as the sender liked (D-Bus
//! Specification, "Message Protocol"). Only what names a request is kept; whatever is malformed ends the stream, and says so.

/// Longest message that is put together; the rest of a longer one is skipped.
const LONGEST: usize = 64 * 1024;
/// Authentication has no more bytes than this.
const LONGEST_GREETING: usize = 4096;
/// The specification's limits.
const MAX_BODY: u32 = 1 << 27;
const MAX_FIELDS: u32 = 1 << 26;
/// Containers in containers.
const DEEPEST: usize = 16;
/// Strings that are kept of one body.
const MOST_STRINGS: usize = 64;
const METHOD_CALL: u8 = 1;
/// Elements of the last argument of `StartTransientUnit`: name and properties.
const UNIT: &[u8] = b"(sa(sv))";

/// A method call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Call {
    /// Who is to do it; empty on a private connection.
    pub(super) destination: String,
    /// The object.
    pub(super) path: String,
    /// The interface; may be left out.
    pub(super) interface: String,
    /// The method.
    pub(super) member: String,
    /// The strings of the body, in order, as deep as they lie; at most 64.
    pub(super) strings: Vec<String>,
    /// The names of auxiliary units: first strings of the elements of `a(sa(sv))`; at most 64.
    pub(super) units: Vec<String>,
    /// True if the body was not read to its end: it is too long, or not what its signature says.
    pub(super) is_cut: bool,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Stream {
    held: Vec<u8>,
    /// Bytes of a long message that are still to come.
    skip: u64,
    has_begun: bool,
    is_broken: bool,
}

impl Stream {
    /// False if the bytes were no D-Bus: nothing more is read of them.
    pub(super) const fn is_sound(&self) -> bool {
        !self.is_broken
    }

    /// Takes what was sent; gives the calls that are complete.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Vec<Call> {
        let mut calls = Vec::new();
        while !bytes.is_empty() && !self.is_broken {
            if self.skip > 0 {
                let n = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                bytes = bytes.get(n..).unwrap_or_default();
                self.skip = self.skip.saturating_sub(u64::try_from(n).unwrap_or(u64::MAX));
                continue;
            }
            self.held.extend_from_slice(bytes);
            bytes = &[];
            if !self.has_begun && !self.begins() {
                break;
            }
            self.messages(&mut calls);
        }
        if self.is_broken {
            self.held = Vec::new();
        }
        calls
    }

    /// So many bytes were sent and not seen: what they belong to is given as far as it came, and skipped.
    pub(super) fn gap(&mut self, bytes: u64) -> Option<Call> {
        if self.skip > 0 {
            self.skip = self.skip.saturating_sub(bytes);
            return None;
        }
        let found = Frame::of(&self.held).filter(|frame| self.has_begun && self.held.len() >= frame.body);
        let rest = found.as_ref().and_then(|frame| frame.len.checked_sub(self.held.len()));
        let skip = rest.and_then(|rest| u64::try_from(rest).ok()?.checked_sub(bytes));
        let (Some(frame), Some(skip)) = (found, skip) else {
            self.is_broken = true;
            return None;
        };
        let call = call(&self.held, &frame, true);
        self.is_broken = call.is_none() && frame.kind == METHOD_CALL;
        (self.skip, self.held) = (skip, Vec::new());
        call
    }

    /// Takes the lines up to `BEGIN` away.
    fn begins(&mut self) -> bool {
        // A connection that was there before anybody listened; SASL begins with a zero byte.
        if Frame::of(&self.held).is_some() {
            self.has_begun = true;
            return true;
        }
        // Lines, of which the last is BEGIN and nothing else; whatever else it is, it is no D-Bus.
        let Some((0, lines)) = self.held.split_first() else {
            self.is_broken = self.held.len() >= 16;
            return false;
        };
        let lines = lines.get(..lines.len().min(LONGEST_GREETING)).unwrap_or_default();
        let mut at = 0;
        while let Some(end) = lines.get(at..).and_then(|rest| rest.windows(2).position(|w| w == b"\r\n")) {
            let line = lines.get(at..at + end);
            at += end + 2;
            if line == Some(b"BEGIN") {
                self.held.drain(..=at);
                self.has_begun = true;
                return true;
            }
        }
        self.is_broken = self.held.len() > LONGEST_GREETING;
        false
    }

    fn messages(&mut self, calls: &mut Vec<Call>) {
        let mut at = 0;
        while let Some(rest) = self.held.get(at..).filter(|rest| rest.len() >= 16) {
            let Some(frame) = Frame::of(rest) else {
                self.is_broken = true;
                break;
            };
            // Of a long message as much is awaited as of any, so that nobody hides a name in its second part.
            let Some(part) = rest.get(..frame.len.min(LONGEST)) else { break };
            match call(part, &frame, frame.len > LONGEST) {
                Some(call) => calls.push(call),
                // Fields that are longer than what is put together, or that are none.
                None if frame.kind == METHOD_CALL => {
                    self.is_broken = true;
                    break;
                }
                None => {}
            }
            match frame.len.checked_sub(rest.len()) {
                Some(beyond) => {
                    self.skip = u64::try_from(beyond).unwrap_or(u64::MAX);
                    at = self.held.len();
                }
                None => at += frame.len,
            }
        }
        self.held.drain(..at.min(self.held.len()));
        self.is_broken |= self.held.len() > 2 * LONGEST;
    }
}

/// Where the parts of a message lie.
struct Frame {
    big: bool,
    kind: u8,
    fields: usize,
    body: usize,
    len: usize,
}

impl Frame {
    fn of(bytes: &[u8]) -> Option<Self> {
        let [order, kind, _, version, ..] = *bytes else { return None };
        let big = match order {
            b'l' => false,
            b'B' => true,
            _ => return None,
        };
        let mut c = Reader { bytes, at: 4, big };
        let body = c.u32()?;
        let _serial = c.u32()?;
        let fields = c.u32()?;
        if version != 1 || body > MAX_BODY || fields > MAX_FIELDS {
            return None;
        }
        let fields = usize::try_from(fields).ok()?.checked_add(16)?;
        let start = fields.checked_next_multiple_of(8)?;
        let len = start.checked_add(usize::try_from(body).ok()?)?;
        Some(Self { big, kind, fields, body: start, len })
    }
}

fn call(bytes: &[u8], frame: &Frame, is_cut: bool) -> Option<Call> {
    if frame.kind != METHOD_CALL {
        return None;
    }
    let mut call = Call { is_cut, ..Call::default() };
    let mut signature = String::new();
    let mut c = Reader { bytes: bytes.get(..frame.fields)?, at: 16, big: frame.big };
    while c.at < frame.fields {
        c.align(8)?;
        let code = c.u8()?;
        let kind = c.signature()?;
        let value = match kind.as_str() {
            "s" | "o" => c.string()?,
            "g" => c.signature()?,
            "u" => {
                c.u32()?;
                continue;
            }
            _ => return None,
        };
        match code {
            1 => call.path = value,
            2 => call.interface = value,
            3 => call.member = value,
            6 => call.destination = value,
            8 => signature = value,
            _ => {}
        }
    }
    // Alignment counts from the start of the message, whose body begins at a multiple of 8.
    let mut c = Reader { bytes, at: frame.body, big: frame.big };
    let mut types = signature.as_bytes();
    while !types.is_empty() {
        let Some(rest) = c.value(types, 0, &mut call) else {
            call.is_cut = true;
            break;
        };
        types = rest;
    }
    Some(call)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    big: bool,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let end = self.at.checked_add(N)?;
        let out = self.bytes.get(self.at..end)?.try_into().ok()?;
        self.at = end;
        Some(out)
    }

    fn align(&mut self, to: usize) -> Option<()> {
        self.at = self.at.checked_next_multiple_of(to)?;
        Some(())
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[b]| b)
    }

    fn u32(&mut self) -> Option<u32> {
        self.align(4)?;
        let raw = self.take()?;
        Some(if self.big { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) })
    }

    fn text(&mut self, len: usize) -> Option<String> {
        let end = self.at.checked_add(len)?;
        let text = self.bytes.get(self.at..end)?;
        if self.bytes.get(end) != Some(&0) {
            return None;
        }
        self.at = end.checked_add(1)?;
        String::from_utf8(text.to_vec()).ok()
    }

    fn string(&mut self) -> Option<String> {
        let len = self.u32()?;
        self.text(usize::try_from(len).ok()?)
    }

    fn signature(&mut self) -> Option<String> {
        let len = self.u8()?;
        self.text(usize::from(len))
    }

    fn skip(&mut self, to: usize, width: usize) -> Option<()> {
        self.align(to)?;
        let end = self.at.checked_add(width)?;
        self.bytes.get(self.at..end)?;
        self.at = end;
        Some(())
    }

    /// Reads one value of the first type of `types`, keeps its strings, gives the types behind it.
    fn value<'t>(&mut self, types: &'t [u8], depth: usize, out: &mut Call) -> Option<&'t [u8]> {
        if depth > DEEPEST {
            return None;
        }
        let (kind, rest) = types.split_first()?;
        match kind {
            b'y' => self.skip(1, 1)?,
            b'n' | b'q' => self.skip(2, 2)?,
            b'b' | b'i' | b'u' | b'h' => self.skip(4, 4)?,
            b'x' | b't' | b'd' => self.skip(8, 8)?,
            b's' | b'o' => {
                let text = self.string()?;
                if out.strings.len() < MOST_STRINGS {
                    out.strings.push(text);
                }
            }
            b'g' => {
                self.signature()?;
            }
            b'v' => {
                let inner = self.signature()?;
                if !self.value(inner.as_bytes(), depth + 1, out)?.is_empty() {
                    return None;
                }
            }
            b'a' => return self.array(rest, depth, out),
            b'(' | b'{' => {
                let close = if *kind == b'(' { b')' } else { b'}' };
                self.align(8)?;
                let mut inner = rest;
                // The specification has no empty struct, and an array of them would have no end.
                if *inner.first()? == close {
                    return None;
                }
                while *inner.first()? != close {
                    inner = self.value(inner, depth + 1, out)?;
                }
                return inner.get(1..);
            }
            _ => return None,
        }
        Some(rest)
    }

    /// Looks at the name in front of an auxiliary unit's properties.
    fn unit(&mut self, out: &mut Call) {
        let start = self.at;
        if let Some(name) = self.align(8).and_then(|()| self.string())
            && out.units.len() < MOST_STRINGS
        {
            out.units.push(name);
        }
        self.at = start;
    }

    fn array<'t>(&mut self, types: &'t [u8], depth: usize, out: &mut Call) -> Option<&'t [u8]> {
        let len = usize::try_from(self.u32()?).ok()?;
        let rest = behind(types, depth)?;
        // The padding to the first element is there even if there is none, and is not counted.
        self.align(match types.first()? {
            b'(' | b'{' | b'x' | b't' | b'd' => 8,
            b's' | b'o' | b'a' | b'b' | b'i' | b'u' | b'h' => 4,
            b'n' | b'q' => 2,
            _ => 1,
        })?;
        let end = self.at.checked_add(len)?;
        self.bytes.get(self.at..end)?;
        while self.at < end {
            let start = self.at;
            if types.starts_with(UNIT) {
                self.unit(out);
            }
            self.value(types, depth + 1, out)?;
            if self.at == start {
                return None;
            }
        }
        (self.at == end).then_some(rest)
    }
}

/// The types behind the first complete one.
fn behind(types: &[u8], depth: usize) -> Option<&[u8]> {
    if depth > DEEPEST {
        return None;
    }
    let (kind, rest) = types.split_first()?;
    match kind {
        b'a' => behind(rest, depth + 1),
        b'(' | b'{' => {
            let close = if *kind == b'(' { b')' } else { b'}' };
            let mut inner = rest;
            while *inner.first()? != close {
                inner = behind(inner, depth + 1)?;
            }
            inner.get(1..)
        }
        b'y' | b'n' | b'q' | b'b' | b'i' | b'u' | b'h' | b'x' | b't' | b'd' | b's' | b'o' | b'g' | b'v' => {
            Some(rest)
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "dbus_tests.rs"]
pub(in crate::session) mod tests;

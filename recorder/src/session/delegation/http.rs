//! What a client asks of a container engine over HTTP/1.1 (RFC 9112), from bytes that the recorded person chose.
//!
//! Only the request line is kept, without what stands behind the `?`; fields are looked at for the length of the body, which is
//! skipped. The engine takes a connection over for a process's input and output: what follows is no request any more, unless it
//! looks like one, as engines refuse to take over when they are asked so. Whatever is malformed ends the stream, and says so.

/// Longest line, longest head.
const LONGEST_LINE: usize = 16 * 1024;
const LONGEST_HEAD: usize = 64 * 1024;
/// Characters that are kept of a path.
const LONGEST_PATH: usize = 1024;
/// What requests begin with.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];
/// Longest time that is waited for a container to stop before it starts again, seconds.
const LONGEST_STOP: u64 = 3600;

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Http {
    /// The method.
    pub(super) method: String,
    /// The path, decoded, without the version of the engine's interface in front.
    pub(super) path: String,
    /// `name` of the query: how a new container, or one that is renamed, is to be called.
    pub(super) name: Option<String>,
    /// `t` of the query: seconds until a container is killed that does not stop.
    pub(super) patience: u64,
}

impl Http {
    /// The parts of the path.
    pub(super) fn parts(&self) -> Vec<&str> {
        self.path.split('/').filter(|part| !part.is_empty()).collect()
    }

    /// True if nothing is changed by it.
    pub(super) fn is_question(&self) -> bool {
        match self.parts().as_slice() {
            // A terminal over a web socket is asked for like a page.
            [.., "attach", "ws"] => false,
            [.., "wait" | "resize"] => true,
            _ => matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS"),
        }
    }

    /// True if the connection becomes a process's input and output.
    fn takes_over(&self) -> bool {
        let parts = self.parts();
        matches!(
            parts.as_slice(),
            ["containers", _, "attach", ..] | ["exec", _, "start"] | ["session" | "grpc"]
        )
    }
}

/// Where in the stream the next byte lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// At a request line.
    #[default]
    Request,
    /// At a field, or the empty line behind the last one.
    Field,
    /// In a body of which so many bytes are to come.
    Body(u64),
    /// At the line that tells a chunk's length.
    Chunk,
    /// In a chunk; its end of line is a line of its own.
    Data(u64),
    DataEnd,
    /// At a field behind the last chunk.
    Trailer,
    /// In what is no request, or not known to be one.
    Taken,
}

/// The body of the request that is being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Length {
    bytes: Option<u64>,
    is_chunked: bool,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Stream {
    at: At,
    line: Vec<u8>,
    head: usize,
    request: Http,
    is_old: bool,
    length: Length,
    /// The connection was taken over once: what can't be read may be somebody's input.
    was_taken: bool,
    is_broken: bool,
}

impl Stream {
    /// False if the bytes were no HTTP: nothing more is read of them.
    pub(super) const fn is_sound(&self) -> bool {
        !self.is_broken
    }

    /// Takes what was sent; gives the requests whose heads are complete.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Vec<Http> {
        let mut requests = Vec::new();
        while !bytes.is_empty() && !self.is_broken {
            match self.at {
                At::Body(left) | At::Data(left) => {
                    let n = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = bytes.get(n..).unwrap_or_default();
                    self.skip(u64::try_from(n).unwrap_or(u64::MAX));
                }
                At::Taken => match self.begins(bytes) {
                    Some(true) => self.at = At::Request,
                    // Not all of a method yet.
                    None => {
                        self.line.extend_from_slice(bytes);
                        break;
                    }
                    Some(false) => {
                        self.line.clear();
                        break;
                    }
                },
                _ => {
                    let end = bytes.iter().position(|b| *b == b'\n');
                    let (part, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
                    self.line.extend_from_slice(part);
                    self.head += part.len();
                    bytes = rest;
                    if self.line.len() > LONGEST_LINE || self.head > LONGEST_HEAD || !self.may_begin() {
                        self.fail();
                    } else if end.is_some() {
                        let line = std::mem::take(&mut self.line);
                        let line = line.strip_suffix(b"\n").unwrap_or(&line);
                        let line = line.strip_suffix(b"\r").unwrap_or(line);
                        if self.line_ends(line, &mut requests).is_none() {
                            self.fail();
                        }
                    }
                    // What is taken over is looked at once for each thing that is sent.
                    if self.at == At::Taken && !self.is_broken && self.was_lost() {
                        break;
                    }
                }
            }
        }
        requests
    }

    /// So many bytes were sent and not seen, or an unknown number. True if a request may have been among them.
    pub(super) fn gap(&mut self, bytes: Option<u64>) -> bool {
        self.line.clear();
        match (self.at, bytes) {
            (At::Body(left) | At::Data(left), Some(bytes)) if bytes <= left => self.skip(bytes),
            // A long body, sent in parts of which some can't be read: the next request begins what is sent.
            (At::Body(_) | At::Data(_), None) => (self.at, self.was_taken) = (At::Taken, true),
            (At::Taken, _) => {}
            _ => {
                self.is_broken = true;
                return true;
            }
        }
        false
    }

    /// Bytes of a body went by.
    fn skip(&mut self, bytes: u64) {
        self.at = match self.at {
            At::Body(left) if left <= bytes => self.over(),
            At::Data(left) if left <= bytes => At::DataEnd,
            At::Body(left) => At::Body(left.saturating_sub(bytes)),
            At::Data(left) => At::Data(left.saturating_sub(bytes)),
            other => other,
        };
    }

    /// A request is at its end.
    fn over(&mut self) -> At {
        self.head = 0;
        if self.request.takes_over() {
            self.was_taken = true;
            At::Taken
        } else {
            At::Request
        }
    }

    fn fail(&mut self) {
        self.line.clear();
        self.head = 0;
        if self.was_taken {
            self.at = At::Taken;
            self.request = Http::default();
        } else {
            self.is_broken = true;
        }
    }

    /// True if a line was given up, and not a request read to its end.
    fn was_lost(&self) -> bool {
        self.request == Http::default()
    }

    /// Whether these bytes begin a request; `None`: it is too early to tell.
    fn begins(&self, bytes: &[u8]) -> Option<bool> {
        let all: Vec<u8> = self.line.iter().chain(bytes).take(16).copied().collect();
        let known = |method: &&str| {
            let start = [method.as_bytes(), b" "].concat();
            all.starts_with(&start) || start.starts_with(&all)
        };
        let method = METHODS.iter().find(|method| known(method));
        let Some(method) = method else { return Some(false) };
        (all.len() > method.len()).then_some(true)
    }

    /// False if what is there of a request line is none.
    fn may_begin(&self) -> bool {
        self.at != At::Request || self.line.first().is_none_or(u8::is_ascii_uppercase)
    }

    fn line_ends(&mut self, line: &[u8], requests: &mut Vec<Http>) -> Option<()> {
        match self.at {
            At::Request => {
                let (request, is_old) = request_line(line)?;
                (self.request, self.is_old, self.length) = (request, is_old, Length::default());
                self.at = At::Field;
            }
            At::Field if line.is_empty() => {
                requests.push(self.request.clone());
                self.at = match self.length {
                    // Who says both means the chunks; older ones don't know them.
                    Length { is_chunked: true, .. } if self.is_old => return None,
                    Length { is_chunked: true, .. } => At::Chunk,
                    Length { bytes: Some(bytes), .. } if bytes > 0 => At::Body(bytes),
                    _ => self.over(),
                };
            }
            At::Field => self.field(line)?,
            At::Chunk => {
                let digits = line.split(|b| *b == b';').next()?.trim_ascii();
                let text = std::str::from_utf8(digits).ok().filter(|text| is_all(text, 16))?;
                self.head = 0;
                self.at = match u64::from_str_radix(text, 16).ok()? {
                    0 => At::Trailer,
                    len => At::Data(len),
                };
            }
            At::DataEnd => self.at = line.is_empty().then_some(At::Chunk)?,
            At::Trailer if line.is_empty() => self.at = self.over(),
            At::Trailer | At::Body(_) | At::Data(_) | At::Taken => {}
        }
        Some(())
    }

    fn field(&mut self, line: &[u8]) -> Option<()> {
        let colon = line.iter().position(|b| *b == b':')?;
        let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?.trim_ascii());
        // A line that goes on, or a name with a blank behind it: others may read it otherwise.
        if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
            return None;
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let text = std::str::from_utf8(value).ok().filter(|text| is_all(text, 10))?;
            let bytes = text.parse().ok()?;
            if self.length.bytes.is_some_and(|known| known != bytes) {
                return None;
            }
            self.length.bytes = Some(bytes);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.length.is_chunked = value.eq_ignore_ascii_case(b"chunked").then_some(true)?;
        }
        Some(())
    }
}

fn is_all(text: &str, radix: u32) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_digit(radix))
}

/// `METHOD target HTTP/1.x`; and whether it is HTTP/1.0.
fn request_line(line: &[u8]) -> Option<(Http, bool)> {
    let text = std::str::from_utf8(line).ok()?;
    let (method, rest) = text.split_once(' ')?;
    let (target, version) = rest.rsplit_once(' ')?;
    if !METHODS.contains(&method) || target.contains(' ') {
        return None;
    }
    let is_old = match version {
        "HTTP/1.1" => false,
        "HTTP/1.0" => true,
        _ => return None,
    };
    // A proxy's form names the host before the path.
    let target = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
        }
        _ => target,
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let value = |key: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(name, _)| *name == key).map(|(_, value)| decoded(value)).next()
    };
    let request = Http {
        method: method.to_owned(),
        path: unversioned(&decoded(path)).chars().take(LONGEST_PATH).collect(),
        name: value("name").map(|name| name.trim_start_matches('/').to_owned()),
        patience: value("t").and_then(|t| t.parse().ok()).unwrap_or(0).min(LONGEST_STOP),
    };
    Some((request, is_old))
}

/// The path without `/v1.41`.
fn unversioned(path: &str) -> &str {
    let Some(rest) = path.strip_prefix("/v") else { return path };
    let at = rest.find('/').unwrap_or(rest.len());
    let (version, behind) = rest.split_at(at);
    let is_version = !version.is_empty() && version.chars().all(|c| c.is_ascii_digit() || c == '.');
    if is_version { behind } else { path }
}

/// Takes `%2f` back.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let hex = |b: u8| char::from(b).to_digit(16).and_then(|n| u8::try_from(n).ok());
        if let (b'%', [high, low, after @ ..]) = (first, behind)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            out.push(high << 4 | low);
            rest = after;
        } else {
            out.push(*first);
            rest = behind;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(parts: &[&[u8]]) -> (Vec<String>, bool) {
        let mut stream = Stream::default();
        let mut out = Vec::new();
        for part in parts {
            out.extend(stream.push(part).into_iter().map(|r| format!("{} {}", r.method, r.path)));
        }
        (out, stream.is_sound())
    }

    const RUN: &[u8] = b"HEAD /_ping HTTP/1.1\r\nHost: docker\r\n\r\n\
        POST /v1.41/containers/create?name=we%62 HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"Image\":\"POST /\"\
        POST /v1.41/images/load?quiet=1 HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n5;x=y\r\nPOST \r\n0a\r\n0123456789\r\n0\r\nDigest: x\r\n\r\n\
        POST http://docker/v1.41/containers/%77eb/start HTTP/1.1\n\n";

    #[test]
    fn requests_are_read_and_bodies_skipped_however_they_are_cut() {
        let all =
            ["HEAD /_ping", "POST /containers/create", "POST /images/load", "POST /containers/web/start"];
        assert_eq!(heard(&[RUN]), (all.map(str::to_owned).to_vec(), true));
        for size in 1..RUN.len() {
            let parts: Vec<&[u8]> = RUN.chunks(size).collect();
            assert_eq!(heard(&parts), (all.map(str::to_owned).to_vec(), true), "in parts of {size}");
        }
    }

    #[test]
    fn of_the_query_the_name_and_the_patience_are_kept() {
        let requests = Stream::default()
            .push(b"POST /containers/create?name=a%2Eb&x=secret HTTP/1.1\r\n\r\nPOST /containers/x/restart?t=20 HTTP/1.1\r\n\r\n");
        let [create, restart] = requests.as_slice() else { panic!("{requests:?}") };
        assert_eq!((create.name.as_deref(), restart.patience), (Some("a.b"), 20));
        assert!(!format!("{create:?}").contains("secret"));
    }

    #[test]
    fn what_is_taken_over_is_no_request_unless_it_looks_like_one() {
        let start: &[u8] = b"POST /exec/12/start HTTP/1.1\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}";
        let all = heard(&[start, b"ls\n", b"echo POST /x HTTP/1.1\r\n\r\n", b"GET out\nmore", b"\x01\x02"]);
        assert_eq!(all, (vec!["POST /exec/12/start".to_owned()], true));
        // An engine that was told to detach goes on reading requests.
        let two = [start, start].concat();
        for size in [1, 7, two.len()] {
            assert_eq!(heard(&two.chunks(size).collect::<Vec<_>>()).0.len(), 2, "in parts of {size}");
        }
    }

    #[test]
    fn what_is_no_http_ends_the_stream() {
        for broken in [
            &b"\0AUTH EXTERNAL"[..],
            b"PRI * HTTP/2.0\r\n\r\n",
            b"BREW /coffee HTTP/1.1\r\n",
            b"POST /x\r\n",
            b"POST /x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"POST /x HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            b"POST /x HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST /x HTTP/1.1\r\nHost: a\r\n Content-Length: 5\r\n\r\n",
            b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
            b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
            b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        ] {
            assert!(!heard(&[broken]).1, "{}", String::from_utf8_lossy(broken));
        }
        let long = [b"POST /".as_slice(), &[b'x'; LONGEST_LINE]].concat();
        assert!(!heard(&[&long]).1);
        let mut many = Stream::default();
        many.push(b"POST /x HTTP/1.1\r\n");
        for _ in 0..LONGEST_HEAD {
            many.push(b"a: b\r\n");
        }
        assert!(!many.is_sound() && many.line.is_empty());
    }

    #[test]
    fn what_is_missing_of_a_body_loses_nothing_and_of_a_head_everything() {
        let upload = |len| format!("POST /build HTTP/1.1\r\nContent-Length: {len}\r\n\r\n0123");
        let next = b"DELETE /containers/x HTTP/1.1\r\n\r\n";
        let mut stream = Stream::default();
        stream.push(upload(10).as_bytes());
        assert!(!stream.gap(Some(6)));
        assert_eq!(stream.push(next).len(), 1);
        // So much that it is not known how much.
        stream.push(upload(90_000).as_bytes());
        assert!(!stream.gap(None) && !stream.gap(None));
        assert_eq!(stream.push(b"rest of it").len(), 0);
        assert_eq!(stream.push(next).len(), 1);
        stream.push(upload(10).as_bytes());
        assert!(stream.gap(Some(7)) && !stream.is_sound());
        assert!(Stream::default().gap(None));
    }

    #[test]
    fn questions_change_nothing() {
        let is_question = |line: &str| {
            let head = format!("{line} HTTP/1.1\r\n\r\n");
            Stream::default().push(head.as_bytes()).first().map(Http::is_question)
        };
        for line in [
            "GET /containers/json",
            "HEAD /_ping",
            "POST /v1.41/containers/x/wait",
            "POST /exec/x/resize?h=2",
        ] {
            assert_eq!(is_question(line), Some(true), "{line}");
        }
        for line in [
            "GET /v1.24/containers/x/attach/ws",
            "POST /containers/x/kill",
            "DELETE /images/x",
            "PUT /containers/x/archive",
        ] {
            assert_eq!(is_question(line), Some(false), "{line}");
        }
    }
}

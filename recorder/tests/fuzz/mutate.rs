//! Mutations that know the forms: bytes, lines, numbers, words of a dictionary, base64 bodies and length-prefixed fields.

use base64::{Engine as _, engine::general_purpose};

/// What parsers compare with or count by.
const WORDS: &[&str] = &[
    "version = 1",
    "kind = \"request\"",
    "kind = \"token\"",
    "kind = \"import\"",
    "kind = \"certificate\"",
    "[incident]",
    "token = true",
    "approvers = []",
    "hosts = [\"*\"]",
    "privileges = [\"root\"]",
    "\"user:root\"",
    "\"command:*\"",
    "2026-11-21T02:31:00Z",
    "2026-11-21T02:31:60Z",
    "9999-12-31T23:59:59.999999999Z",
    "0001-01-01T00:00:00Z",
    "PT4H",
    "P99999999999D",
    "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
    "[[approve]]",
    "[[import]]",
    "[people.x]",
    "\"31d\"",
    "cert-authority",
    "namespaces=\"",
    "valid-after=\"20260101Z\"",
    "valid-before=\"",
    "ssh-ed25519",
    "ssh-ed25519-cert-v01@openssh.com",
    "-----BEGIN SSH SIGNATURE-----",
    "-----END SSH SIGNATURE-----",
    "rt1.",
    "SSHSIG",
    "recorder-grant",
    "null",
    "[]",
    "{}",
    "[[[[[[[[",
    "{\"a\":{\"a\":",
    "-1",
    "0",
    "1e999",
    "18446744073709551615",
    "4294967295",
    "\\u0000",
    "\u{202e}",
    "\u{0}",
    "\"",
    "'''",
    "\"\"\"",
    "\\",
    "!",
    "*",
    "?",
    ",",
    "#",
    "\r\n",
    "\t",
];

/// A source of inputs; the same seed gives the same ones.
pub(crate) struct Mutator(u64);

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n.max(1)).unwrap()).unwrap()
    }

    /// The next input: a seed with one to eight changes.
    pub(crate) fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(8) {
            self.change(&mut input, seeds);
            input.truncate(80 << 10);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        match self.below(14) {
            0 => self.in_base64(input),
            1 | 2 => {
                // A word over or between.
                let word = WORDS[self.below(WORDS.len())].as_bytes();
                let at = self.below(input.len() + 1);
                let end = if self.below(2) == 0 { at } else { (at + word.len()).min(input.len()) };
                input.splice(at..end, word.iter().copied());
            }
            3 => self.lines(input, seeds),
            4 => self.quoted(input),
            5 => self.number(input),
            6 => {
                // A part of another seed.
                let other = &seeds[self.below(seeds.len())];
                let (from, at) = (self.below(other.len() + 1), self.below(input.len() + 1));
                let to = from + self.below(other.len() - from + 1);
                input.splice(at..at, other[from..to].iter().copied());
            }
            7 => {
                // One stretch many times.
                let (from, n) = (self.below(input.len() + 1), self.below(64));
                let to = (from + 1 + self.below(32)).min(input.len());
                let part = input[from..to].repeat(n);
                input.splice(from..from, part);
            }
            8 => {
                let (from, to) = (self.below(input.len() + 1), self.below(input.len() + 1));
                input.drain(from.min(to)..from.max(to));
            }
            9 => input.truncate(self.below(input.len() + 1)),
            _ => self.byte(input),
        }
    }

    fn byte(&mut self, input: &mut [u8]) {
        if input.is_empty() {
            return;
        }
        let at = self.below(input.len());
        input[at] = match self.below(4) {
            0 => input[at] ^ (1 << self.below(8)),
            1 => input[at].wrapping_add(1),
            2 => [0, 0xff, 0x7f, 0x80, b'\n', b'"'][self.below(6)],
            _ => u8::try_from(self.below(256)).unwrap(),
        };
    }

    /// A line away, twice, elsewhere, or of another seed.
    fn lines(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let mut lines: Vec<Vec<u8>> = input.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
        if lines.is_empty() {
            return;
        }
        let (at, to) = (self.below(lines.len()), self.below(lines.len()));
        match self.below(4) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(to, lines[at].clone()),
            2 => lines.swap(at, to),
            _ => {
                let other: Vec<_> = seeds[self.below(seeds.len())].split_inclusive(|b| *b == b'\n').collect();
                let line = other.get(self.below(other.len())).map_or(Vec::new(), |line| line.to_vec());
                lines.insert(at, line);
            }
        }
        *input = lines.concat();
    }

    /// What stands between two quotes gets shorter, longer or other.
    fn quoted(&mut self, input: &mut Vec<u8>) {
        let quotes: Vec<usize> = (0..input.len()).filter(|at| input[*at] == b'"').collect();
        if quotes.len() < 2 {
            return;
        }
        let n = self.below(quotes.len() - 1);
        let (from, to) = (quotes[n] + 1, quotes[n + 1]);
        let text = match self.below(4) {
            0 => Vec::new(),
            1 => vec![b'a'; [255, 256, 257, 1024, 4096, 4097][self.below(6)]],
            2 => WORDS[self.below(WORDS.len())].as_bytes().to_vec(),
            _ => input[from..to].repeat(2),
        };
        input.splice(from..to, text);
    }

    fn number(&mut self, input: &mut Vec<u8>) {
        let starts: Vec<usize> = (0..input.len())
            .filter(|at| input[*at].is_ascii_digit() && (*at == 0 || !input[*at - 1].is_ascii_digit()))
            .collect();
        if starts.is_empty() {
            return;
        }
        let from = starts[self.below(starts.len())];
        let to = from + input[from..].iter().take_while(|b| b.is_ascii_digit()).count();
        let numbers =
            ["0", "-1", "00", "59", "60", "99", "2147483648", "18446744073709551616", "1e9", "0x7f", ""];
        input.splice(from..to, numbers[self.below(numbers.len())].bytes());
    }

    /// The longest run of base64 is decoded, changed as the length-prefixed fields that it holds, and put back.
    fn in_base64(&mut self, input: &mut Vec<u8>) {
        let url = input.starts_with(b"rt1.");
        let digit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_');
        let armored = input.starts_with(b"-----BEGIN");
        let (from, to) = if armored {
            // Between the first and the last line.
            let from = input.iter().position(|b| *b == b'\n').map_or(0, |at| at + 1);
            let to = input.windows(6).rposition(|w| w == b"\n-----").unwrap_or(input.len());
            (from.min(to), to)
        } else {
            let mut best = (0, 0);
            let mut at = 0;
            while at < input.len() {
                let len = input[at..].iter().take_while(|b| digit(**b)).count();
                if len > best.1 - best.0 {
                    best = (at, at + len);
                }
                at += len + 1;
            }
            best
        };
        let text: Vec<u8> = input[from..to].iter().copied().filter(|b| *b != b'\n').collect();
        let raw = if url {
            general_purpose::URL_SAFE_NO_PAD.decode(&text)
        } else {
            general_purpose::STANDARD.decode(&text)
        };
        let Ok(mut raw) = raw else { return };
        for _ in 0..=self.below(3) {
            self.field(&mut raw);
        }
        let text = if url {
            general_purpose::URL_SAFE_NO_PAD.encode(raw)
        } else {
            general_purpose::STANDARD.encode(raw)
        };
        input.splice(from..to, text.into_bytes());
    }

    fn field(&mut self, raw: &mut Vec<u8>) {
        // Anything that could be a length and fits is taken for one.
        let prefixes: Vec<(usize, usize)> = (0..raw.len().saturating_sub(4))
            .filter_map(|at| {
                let len = usize::try_from(u32::from_be_bytes(raw[at..at + 4].try_into().unwrap())).unwrap();
                (len <= raw.len() - at - 4).then_some((at, len))
            })
            .collect();
        if prefixes.is_empty() || self.below(3) == 0 {
            return self.byte(raw);
        }
        let (at, len) = prefixes[self.below(prefixes.len())];
        let body = raw[at + 4..at + 4 + len].to_vec();
        let body = match self.below(5) {
            0 => Vec::new(),
            1 => body.repeat(2),
            2 => body.iter().rev().copied().collect(),
            3 => {
                // Only the length lies.
                let lie = [0, 1, u32::MAX, u32::try_from(len + 1).unwrap(), 0x7fff_ffff][self.below(5)];
                raw.splice(at..at + 4, lie.to_be_bytes());
                return;
            }
            _ => WORDS[self.below(WORDS.len())].as_bytes().to_vec(),
        };
        let prefix = u32::try_from(body.len()).unwrap().to_be_bytes();
        raw.splice(at..at + 4 + len, prefix.into_iter().chain(body));
    }
}

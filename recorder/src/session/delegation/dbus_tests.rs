use super::*;

/// Puts a message together, little-endian.
pub(in crate::session) fn message(destination: &str, member: &str, signature: &str, body: &[u8]) -> Vec<u8> {
    let mut fields = Vec::new();
    let mut field = |code: u8, kind: &str, text: &str| {
        while !fields.len().is_multiple_of(8) {
            fields.push(0);
        }
        fields.extend([code, 1, kind.as_bytes()[0], 0]);
        if kind == "g" {
            fields.push(u8::try_from(text.len()).unwrap());
        } else {
            fields.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        }
        fields.extend(text.as_bytes());
        fields.push(0);
    };
    field(1, "o", "/org/freedesktop/systemd1");
    field(2, "s", "org.freedesktop.systemd1.Manager");
    field(3, "s", member);
    if !destination.is_empty() {
        field(6, "s", destination);
    }
    if !signature.is_empty() {
        field(8, "g", signature);
    }
    let mut out = vec![b'l', 1, 0, 1];
    out.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    out.extend(7u32.to_le_bytes());
    out.extend(u32::try_from(fields.len()).unwrap().to_le_bytes());
    out.extend(fields);
    while !out.len().is_multiple_of(8) {
        out.push(0);
    }
    out.extend(body);
    out
}

/// The body of strings, as in "ss".
pub(in crate::session) fn strings(texts: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for text in texts {
        while !out.len().is_multiple_of(4) {
            out.push(0);
        }
        out.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        out.extend(text.as_bytes());
        out.push(0);
    }
    out
}

/// As `busctl` writes it: `ssa(sv)a(sa(sv))` with one property and one auxiliary unit.
fn transient() -> Vec<u8> {
    let mut body = strings(&["run-u5.timer", "fail"]);
    let array = |body: &mut Vec<u8>, fill: &dyn Fn(&mut Vec<u8>)| {
        while !body.len().is_multiple_of(4) {
            body.push(0);
        }
        let at = body.len();
        body.extend([0; 4]);
        while !body.len().is_multiple_of(8) {
            body.push(0);
        }
        let start = body.len();
        fill(body);
        let len = u32::try_from(body.len() - start).unwrap();
        body[at..at + 4].copy_from_slice(&len.to_le_bytes());
    };
    let text = |body: &mut Vec<u8>, text: &str| {
        while !body.len().is_multiple_of(4) {
            body.push(0);
        }
        body.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        body.extend(text.as_bytes());
        body.push(0);
    };
    array(&mut body, &|body| {
        text(body, "Unit");
        body.extend([1, b's', 0]);
        text(body, "other.service");
    });
    array(&mut body, &|body| {
        text(body, "run-u5.service");
        array(body, &|_| {});
    });
    body
}

#[test]
fn a_stream_is_read_however_it_is_cut() {
    let first =
        message("org.freedesktop.systemd1", "StartUnit", "ss", &strings(&["cron.service", "replace"]));
    let second = message("", "StartTransientUnit", "ssa(sv)a(sa(sv))", &transient());
    let mut all = b"\0AUTH EXTERNAL 30\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n".to_vec();
    all.extend(&first);
    all.extend(&second);
    let mut whole = Stream::default();
    let calls = whole.push(&all);
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert_eq!(
        (calls[0].destination.as_str(), calls[0].member.as_str()),
        ("org.freedesktop.systemd1", "StartUnit")
    );
    assert_eq!(calls[0].strings, ["cron.service", "replace"]);
    assert_eq!(calls[1].strings, ["run-u5.timer", "fail", "Unit", "other.service", "run-u5.service"]);
    assert!(!calls[1].is_cut);
    for step in 1..40 {
        let mut stream = Stream::default();
        let got: Vec<Call> = all.chunks(step).flat_map(|part| stream.push(part)).collect();
        assert_eq!(got, calls, "in steps of {step}");
    }
    let mut late = Stream::default();
    assert_eq!(late.push(&first).len(), 1);
}

#[test]
fn a_long_message_is_skipped_and_its_beginning_kept() {
    let body = strings(&["big.service", &"x".repeat(200_000)]);
    let mut stream = Stream::default();
    let mut all = message("", "StartUnit", "ss", &body);
    all.extend(message("", "Reload", "", &[]));
    let calls: Vec<Call> = all.chunks(4095).flat_map(|part| stream.push(part)).collect();
    assert_eq!(calls.len(), 2);
    assert_eq!((calls[0].strings.as_slice(), calls[0].is_cut), (["big.service".to_owned()].as_slice(), true));
    assert_eq!(calls[1].member, "Reload");
    assert!(stream.held.capacity() < 3 * LONGEST);
}

#[test]
fn what_was_not_seen_is_skipped() {
    let long = message("", "StartUnit", "ss", &strings(&["far.service", &"x".repeat(20_000)]));
    let mut stream = Stream::default();
    assert_eq!(stream.push(&long[..16_000]), []);
    let call = stream.gap(u64::try_from(long.len() - 16_000).unwrap()).unwrap();
    assert_eq!((call.strings.as_slice(), call.is_cut), (["far.service".to_owned()].as_slice(), true));
    assert_eq!(stream.push(&message("", "Reload", "", &[]))[0].member, "Reload");
    assert_eq!(stream.gap(5), None);
    assert!(!stream.is_sound(), "nobody knows where the next message begins");
}

#[test]
fn whatever_it_is_it_ends() {
    let good = message("d", "M", "a{sv}ax(yyas)", &transient());
    for at in 0..good.len() {
        for change in [0x00, 0x01, 0x7f, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= change;
            let mut stream = Stream::default();
            let _ = stream.push(&bad);
            let _ = stream.push(&bad);
        }
        let _ = Stream::default().push(&good[..at]);
    }
    let deep = message("d", "M", &"a".repeat(200), &[0; 1024]);
    assert!(Stream::default().push(&deep)[0].is_cut);
    let mut noise = Stream::default();
    for _ in 0..100 {
        noise.push(&[b'x'; 1000]);
    }
    assert!(!noise.is_sound() && noise.held.capacity() == 0);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes: Vec<u8>, begin: bool) {
        let mut stream = Stream::default();
        if begin {
            stream.push(b"\0BEGIN\r\n");
        }
        for part in bytes.chunks(7) {
            let _ = stream.push(part);
        }
    }
}

#[test]
fn a_name_in_the_second_part_of_a_long_message_is_read() {
    let mut body = strings(&["nginx.service", "replace"]);
    body.resize(2 * LONGEST, 0);
    let long = message("", "StartUnit", "ss", &body);
    let mut stream = Stream::default();
    let (head, rest) = long.split_at(200);
    assert!(stream.push(head).is_empty());
    let calls = stream.push(rest);
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (calls[0].strings.first().map(String::as_str), calls[0].is_cut),
        (Some("nginx.service"), true)
    );
}

#[test]
fn a_call_whose_fields_are_too_long_is_no_silence() {
    // An unknown field in front of the others, as long as what is put together.
    let mut fields = vec![99, 1, b's', 0];
    fields.extend(u32::try_from(LONGEST).unwrap().to_le_bytes());
    fields.resize(fields.len() + LONGEST + 1, b'x');
    let mut long = vec![b'l', 1, 0, 1];
    long.extend(0u32.to_le_bytes());
    long.extend(7u32.to_le_bytes());
    long.extend(u32::try_from(fields.len()).unwrap().to_le_bytes());
    long.extend(fields);
    let mut stream = Stream::default();
    assert!(stream.push(&long).is_empty());
    assert!(!stream.is_sound(), "a call that nobody could read counts as read");
}

#[test]
fn an_array_of_nothing_ends() {
    for signature in ["a()", "a{}", "aa()", "()"] {
        let mut body = vec![8, 0, 0, 0, 0, 0, 0, 0];
        body.extend([0; 16]);
        let calls = Stream::default().push(&message("", "Set", signature, &body));
        assert!(calls.len() == 1 && calls[0].is_cut, "{signature}: {calls:?}");
    }
}

#[test]
fn authentication_is_read_line_by_line() {
    let call = message("", "StartUnit", "ss", &strings(&["a.service", "replace"]));
    let mut hidden = b"\0X BEGIN\r\n".to_vec();
    // What a server takes for more words, and a reader that looks for BEGIN anywhere for a message without an end.
    hidden.extend([b'l', 2, 0, 1, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, b'\r', b'\n']);
    hidden.extend(b"AUTH EXTERNAL 30\r\nBEGIN\r\n");
    hidden.extend(&call);
    assert_eq!(Stream::default().push(&hidden).len(), 1);
    let mut other = Stream::default();
    assert!(other.push(b"{\"method\":\"io.systemd.Manager.x\"}").is_empty());
    assert!(!other.is_sound(), "what is no D-Bus counts as read");
}

#[test]
fn units_are_the_names_and_nothing_that_looks_like_one() {
    let call =
        &Stream::default().push(&message("", "StartTransientUnit", "ssa(sv)a(sa(sv))", &transient()))[0];
    assert_eq!(call.units, ["run-u5.service"]);
}

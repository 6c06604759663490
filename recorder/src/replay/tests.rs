//! Screen, tape and player, with the recorded person as an adversary.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::index::fixture::{self as fx, Fixture};
use crate::model::{Body, Bytes, Cut, CutField, Digest, Tty, TtyOp};

const SECOND: u64 = 1_000_000_000;

/// One record a second, from the given chunks.
fn tape(chunks: &[&str]) -> Tape {
    let mut f = Fixture::with_session();
    f.of(1, None, fx::tty(TtyOp::Resize, 1, b"", (80, 24)));
    for chunk in chunks {
        f.wait_ms(999).show(chunk);
    }
    collect(&f)
}

fn collect(f: &Fixture) -> Tape {
    let mut tape = Tape::new(fx::session_id(1), 1);
    f.entries.iter().for_each(|entry| tape.see(entry));
    tape
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn is_safe(text: &str) -> bool {
    !text.chars().any(|c| {
        c.is_control() || ('\u{200b}'..='\u{200f}').contains(&c) || ('\u{202a}'..='\u{202e}').contains(&c)
    })
}

#[test]
fn the_screen_is_what_the_person_saw() {
    let mut screen = Screen::new((10, 3));
    screen.feed("a\r\n漢字x\r\n\x1b[1;31mred\x1b[m".as_bytes());
    assert_eq!(screen.rows(), ["a", "漢字x", "red"]);
    assert_eq!(screen.cursor(), (3, 2));
    let cell = screen.cell(0, 2).unwrap();
    assert_eq!((cell.text.as_str(), cell.bold, cell.fg), ("r", true, Color::Idx(1)));
    assert!(screen.cell(0, 1).unwrap().wide);
    assert!(screen.cell(10, 0).is_none());
    screen.resize((0, 0));
    assert_eq!(screen.size(), (80, 24));
    screen.resize((u16::MAX, u16::MAX));
    assert_eq!(screen.size(), (1000, 1000));
    screen.resize((1, 1));
    assert_eq!(screen.size(), (2, 1));
}

#[test]
fn a_panic_of_the_emulator_is_contained_and_the_text_stays() {
    quiet_contained_panics();
    let mut screen = Screen::new((20, 4));
    screen.feed("first line\r\n\x1b[?1049h".as_bytes());
    // A wide character on the edge of the grid that is not shown: vt100 0.16.2 unwraps its missing half.
    screen.feed("\x1b[?47h\x1b[1;10H漢\x1b[?47l".as_bytes());
    screen.resize((10, 4));
    screen.feed("\x1b[?47h\x1b[4;1Hthird\x1b[1;10Hx".as_bytes());
    screen.feed("\r\nsecond".as_bytes());
    assert!(screen.faults() > 0, "vt100 no longer panics here: remove what contains it");
    assert!(screen.rows().iter().any(|row| row == "second"), "{:?}", screen.rows());
    assert!(screen.rows().iter().any(|row| row == "third"), "{:?}", screen.rows());
}

#[test]
fn a11_nothing_of_titles_clipboard_or_queries_is_on_the_screen() {
    let mut screen = Screen::new((40, 3));
    screen.feed(
        b"\x1b]0;evil\x07\x1b]52;c;ZXZpbA==\x07\x1bP$qm\x1b\\\x1b[6n\x1b[c\x1b[?1000h\x9b31mok\xff\xfe\x1b#8",
    );
    assert_eq!(screen.rows()[0], "31mok");
}

#[test]
fn a11_a_flood_of_expensive_sequences_stays_cheap() {
    let mut screen = Screen::new((200, 50));
    let start = std::time::Instant::now();
    screen.feed("\x1b[65535@\x1b[65535L\x1b[65535T".repeat(200).as_bytes());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn playing_shows_each_record_when_it_is_due() {
    let mut player = Player::new(tape(&["a", "b", "c"]), Speed::NORMAL, None);
    assert_eq!(player.step(at(100), None).screen.row(0), "");
    let frame = player.step(at(101), None);
    assert_eq!((frame.screen.row(0).as_str(), frame.position), ("a", SECOND));
    assert_eq!(frame.wake, Some(at(1)));
    assert_eq!(player.step(at(102), None).screen.row(0), "ab");
    assert!(player.step(at(102), Some(Input::Pause)).paused);
    let frame = player.step(at(900), None);
    assert_eq!((frame.screen.row(0).as_str(), frame.wake), ("ab", None));
    let frame = player.step(at(900), Some(Input::Step));
    assert_eq!((frame.screen.row(0).as_str(), frame.ended, frame.position), ("abc", true, 3 * SECOND));
    assert_eq!(player.step(at(900), Some(Input::Seek(-2 * 1_000_000_000))).screen.row(0), "a");
    assert_eq!(player.step(at(900), Some(Input::Seek(i64::MAX))).screen.row(0), "abc");
    assert_eq!(player.step(at(900), Some(Input::Seek(i64::MIN))).screen.row(0), "");
}

#[test]
fn speed_and_idle_limit_shorten_the_time() {
    let mut player = Player::new(tape(&["a", "b", "c"]), Speed::new(200).unwrap(), Some(SECOND / 2));
    assert_eq!(player.step(at(0), None).total, 3 * SECOND / 2);
    let frame = player.step(Duration::from_millis(500), None);
    assert_eq!((frame.screen.row(0).as_str(), frame.wake), ("ab", Some(Duration::from_millis(250))));
    assert_eq!(player.step(Duration::from_millis(500), Some(Input::Faster)).speed.percent(), 400);
    assert_eq!(player.step(Duration::from_millis(500), Some(Input::Slower)).speed.percent(), 200);
    assert_eq!((Speed::new(9), Speed::new(10_001)), (None, None));
}

fn settle(player: &mut Player, input: Input) -> (String, Option<String>) {
    settle_at(player, at(0), input)
}

fn settle_at(player: &mut Player, now: Duration, input: Input) -> (String, Option<String>) {
    let mut input = Some(input);
    for _ in 0..100_000 {
        let frame = player.step(now, input.take());
        if frame.wake != Some(Duration::ZERO) {
            return (frame.screen.row(frame.screen.cursor().1), frame.message);
        }
    }
    panic!("never settled");
}

#[test]
fn search_stops_where_the_text_appears_even_if_it_scrolls_away_in_one_record() {
    let flood = (0..500).map(|n| format!("line {n}\r\n")).collect::<Vec<_>>().concat();
    let needle = format!("{flood}The Needle is here\r\n{flood}");
    let mut player = Player::new(
        tape(&["$ start\r\n", &needle, "$ needle aga", "in", "\r\n", "end"]),
        Speed::NORMAL,
        None,
    );
    let (_, message) = settle(&mut player, Input::Search("needle".into()));
    assert_eq!(message.as_deref(), Some("found: needle"));
    assert!(player.step(at(0), None).screen.rows().iter().any(|r| r == "The Needle is here"));
    // The next one is found while it is typed, and once only.
    assert_eq!(settle(&mut player, Input::Next), ("$ needle aga".into(), Some("found: needle".into())));
    let (_, message) = settle(&mut player, Input::Next);
    assert_eq!(message.as_deref(), Some("not found: needle"));
    assert_eq!(player.step(at(0), None).position, 3 * SECOND, "it stays where it was");
    let mut player = Player::new(tape(&["a", "b"]), Speed::NORMAL, None);
    player.step(at(0), None);
    player.step(Duration::from_millis(1500), None);
    settle_at(&mut player, Duration::from_millis(1500), Input::Search("z".into()));
    assert_eq!(player.still().position, 3 * SECOND / 2, "also between two records");
    // Capitals matter if they were typed.
    settle(&mut player, Input::Seek(i64::MIN));
    assert_eq!(settle(&mut player, Input::Search("NEEDLE".into())).1.as_deref(), Some("not found: NEEDLE"));
}

#[test]
fn search_finds_what_is_painted() {
    let mut player =
        Player::new(tape(&["\x1b[?1049h", "\x1b[5;5Hmenu", "\x1b[9;9Hexit\x1b[1;1H"]), Speed::NORMAL, None);
    settle(&mut player, Input::Search("exit".into()));
    assert_eq!(player.step(at(0), None).position, 3 * SECOND);
}

#[test]
fn g8_a_long_session_is_small_in_memory_and_seeks_both_ways() {
    let mut f = Fixture::with_session();
    let line = |n: usize| format!("2026-11-21 web-1 service[{n}]: request {n} took {} ms\r\n", n % 97);
    for chunk in 0..2000 {
        let text: String = (0..64).map(|n| line(chunk * 64 + n)).collect();
        f.show(&text);
    }
    let tape = collect(&f);
    assert!(tape.bytes() > 6 << 20);
    let mut player = Player::new(tape, Speed::NORMAL, None);
    let last = player.show_at(usize::MAX).rows();
    assert_eq!(last[22], line(127_999).trim_end());
    for steps in [1000, 1, 1999, 500, 2000, 0] {
        let want = if steps == 0 { String::new() } else { line(steps * 64 - 1).trim_end().to_owned() };
        assert_eq!(player.show_at(steps).row(22), want, "{steps}");
    }
}

#[test]
fn losses_and_cuts_are_on_the_tape() {
    let mut f = Fixture::with_session();
    f.control(fx::loss("tty", 5)).show("a").control(fx::loss("tty", 3)).control(fx::loss("file", 7));
    f.of(1, None, fx::end()).control(fx::loss("tty", 9));
    let mut player = Player::new(collect(&f), Speed::NORMAL, None);
    player.show_at(usize::MAX);
    assert_eq!(player.step(at(0), None).lost, 8);
}

#[test]
fn what_was_folded_stands_before_the_end_that_is_kept() {
    let mut f = Fixture::with_session();
    let cut = Cut { field: CutField::Tty, bytes: 1_000_004, sha256: Some(Digest::new([7; 32])), relay: None };
    let tty = Tty { no: 1, data: Bytes::from("last"), cut: Some(cut), ..Tty::default() };
    f.show("first\r\n").of(1, None, Body::Tty(TtyOp::Output, tty)).of(1, None, fx::end());
    let tape = collect(&f);
    assert_eq!(tape.terminals().next().map(|t| t.bytes), Some(1_000_011));
    let mut player = Player::new(tape, Speed::NORMAL, None);
    let whole = player.show_at(usize::MAX);
    assert_eq!(whole.row(1), "last");
    let frame = player.step(at(0), None);
    assert_eq!((frame.folded, frame.lost), (1_000_000, 0));
}

#[test]
fn an_empty_tape_is_at_its_end() {
    let f = Fixture::with_session();
    let tape = collect(&f);
    assert!(tape.is_empty());
    let mut player = Player::new(tape, Speed::NORMAL, None);
    for input in
        [Input::Step, Input::Seek(5), Input::Search("x".into()), Input::Next, Input::Pause, Input::Cancel]
    {
        let frame = player.step(at(1), Some(input));
        assert!(frame.ended && frame.position == 0);
    }
}

/// Bytes as a person at war with the reader would send them: sequences, controls, text, rubbish.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        "[ -~]{0,30}".prop_map(String::into_bytes),
        "\\PC{0,10}".prop_map(String::into_bytes),
        "[漢字\u{202e}\u{200b}\u{301}e]{0,10}".prop_map(String::into_bytes),
        ("[0-9;?]{0,8}", "[@A-Za-z]").prop_map(|(p, f)| format!("\x1b[{p}{f}").into_bytes()),
        Just(b"\x1b[?1049h".to_vec()),
        Just(b"\x1b[?1049l\r\n".to_vec()),
        Just(b"\x1b]0;t".to_vec()),
        Just(b"\r\n\t\x08\x1bM\x1b7\x1b8\x1bc".to_vec()),
    ];
    proptest::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a11_any_bytes_and_sizes_give_safe_rows_and_never_panic(
        acts in proptest::collection::vec((hostile(), any::<(u8, u8)>(), any::<bool>()), 1..8)
    ) {
        quiet_contained_panics();
        let mut screen = Screen::new((0, 0));
        let mut transcript = Transcript::default();
        for (data, (cols, rows), resize) in acts {
            if resize {
                screen.resize((cols.into(), rows.into()));
                transcript.resize((cols.into(), rows.into()));
            }
            screen.feed(&data);
            let mut unsafe_lines = Vec::new();
            transcript.feed(&data, &mut |shown| match shown {
                Shown::Line(text) if !is_safe(&text) => unsafe_lines.push(text),
                _ => {}
            });
            prop_assert!(unsafe_lines.is_empty(), "{unsafe_lines:?}");
            let size = screen.size();
            prop_assert_eq!(screen.rows().len(), usize::from(size.1));
            for row in screen.rows() {
                prop_assert!(is_safe(&row), "{:?}", row);
            }
            let (col, row) = screen.cursor();
            let cell = screen.cell(col, row);
            prop_assert!(cell.is_some_and(|cell| is_safe(&cell.text)));
        }
    }

    #[test]
    fn chunks_do_not_matter(data in hostile(), cut in any::<prop::sample::Index>()) {
        quiet_contained_panics();
        let at = cut.index(data.len() + 1);
        let (mut whole, mut parts) = (Screen::new((80, 24)), Screen::new((80, 24)));
        whole.feed(&data);
        parts.feed(&data[..at]);
        parts.feed(&data[at..]);
        prop_assume!(whole.faults() == 0 && parts.faults() == 0);
        prop_assert_eq!(whole.rows(), parts.rows());
        prop_assert_eq!(whole.cursor(), parts.cursor());
    }
}

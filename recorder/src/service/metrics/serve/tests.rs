//! What is offered, read as strictly as Prometheus and promtool do.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
};

use super::*;
use crate::{
    index::fixture as fx,
    model::{Body, BootNanos, Bytes as Raw, Heartbeat, Loss, LossReason, Mark, RealNanos},
    service::{
        anchor::Anchors,
        board,
        metrics::{Meter, Ring, Sizes, Tally},
        standing::Gauge,
    },
    session::Tracked,
};

fn record(body: Body) -> crate::model::Record {
    crate::model::Record {
        boot_ns: BootNanos::new(1),
        cpu: 0,
        flags: crate::model::Flags::default(),
        task: None,
        body,
    }
}

fn around(dir: &Path) -> Around {
    let mut tally = Tally::default();
    let loss = |class: &str, reason| {
        let class = Raw::from(class);
        record(Body::Loss(Loss { class, ring: Raw::from("bulk"), cpu: 0, from: 1, to: 7, count: 6, reason }))
    };
    tally.record(&loss("file", LossReason::RingFull));
    tally.record(&loss("a \"name\"\\\n", LossReason::ScratchBusy));
    // However many names somebody makes up, the number of series is bounded.
    (0..500).for_each(|n| tally.unkept(&format!("made-up-{n}"), 1));
    tally.record(&record(Body::Heartbeat(Heartbeat { events: 70, lost: 6, ..Heartbeat::default() })));
    tally.committed(Duration::from_millis(15), (0, 0));
    let meter = Meter::default();
    meter.publish(&tally, Some(Instant::now()));
    let (publisher, board) = board::board();
    let opened = Tracked::Opened { mark: Mark::new(1), id: fx::session_id(1), at: BootNanos::new(5) };
    publisher.publish(&[opened], None);
    fs::create_dir_all(dir.join("log")).unwrap();
    fs::write(dir.join("log/seg-0000000000000000.rj"), vec![1; 5000]).unwrap();
    Around {
        meter,
        board,
        gauge: Gauge::new(Instant::now()),
        anchors: Anchors::default(),
        journal_dir: dir.to_owned(),
        sizes: Sizes::default(),
        rings: vec![Ring { name: "bulk", room: 4096, waits: Box::new(|| 48) }],
        backend: "trampoline",
        hooks: 9,
        since: RealNanos::new(1_700_000_000_000_000_000),
    }
}

/// Every sample, by its name with labels; panics at what promtool would complain of.
fn parsed(page: &str) -> BTreeMap<String, f64> {
    let (mut samples, mut families, mut current) =
        (BTreeMap::new(), BTreeSet::new(), (String::new(), String::new()));
    assert!(page.ends_with('\n'));
    let mut help = None;
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, text) = rest.split_once(' ').unwrap();
            assert!(!text.is_empty() && families.insert(name.to_owned()), "{line}");
            help = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(help.take().as_deref(), Some(name), "TYPE follows HELP");
            assert!(["counter", "gauge"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(
                name.starts_with("recorder_") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{line}"
            );
            current = (name.to_owned(), kind.to_owned());
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').map_or((series, None), |(n, l)| (n, Some(l)));
            assert_eq!(name, current.0, "samples stand behind their TYPE");
            if let Some(labels) = labels {
                assert!(labels.ends_with("\"}") && labels.contains("=\""), "{line}");
            }
            let value: f64 = value.parse().unwrap();
            assert!(value.is_finite() && value >= 0.0, "{line}");
            assert!(samples.insert(series.to_owned(), value).is_none(), "{line} stands twice");
        }
    }
    samples
}

#[test]
fn the_page_is_what_prometheus_reads_and_its_series_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let samples = parsed(&around(dir.path()).page(Instant::now()));
    let is = |series: &str, value: f64| {
        assert!((samples[series] - value).abs() < 1e-9, "{series} is {}", samples[series]);
    };
    is("recorder_kernel_events_total", 70.0);
    is("recorder_lost_total{stage=\"kernel\",class=\"file\",reason=\"ring_full\"}", 6.0);
    is("recorder_sessions_open{coverage=\"unwatched\"}", 1.0);
    is("recorder_seal_lag_max_seconds", 0.015);
    is("recorder_hooks", 9.0);
    is("recorder_journal_segments", 1.0);
    is("recorder_ring_bytes{ring=\"bulk\"}", 48.0);
    is("recorder_ring_capacity_bytes{ring=\"bulk\"}", 4096.0);
    is("recorder_storage_state{state=\"sound\"}", 1.0);
    assert!(samples["recorder_journal_bytes"] >= 5000.0);
    assert!(samples["recorder_lost_total{stage=\"journal\",class=\"other\",reason=\"storage\"}"] > 400.0);
    assert!(samples.len() < 130, "{} series", samples.len());
}

/// Where there is one; `parsed` is as strict about what it knows.
#[test]
fn promtool_takes_the_page() {
    use std::process::{Command, Stdio};
    let dir = tempfile::tempdir().unwrap();
    let page = around(dir.path()).page(Instant::now());
    let takes = |page: &str| {
        let mut promtool = Command::new("promtool");
        let mut child = promtool.args(["check", "metrics"]).stdin(Stdio::piped()).spawn().ok()?;
        child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
        Some(child.wait().unwrap().success())
    };
    let Some(taken) = takes(&page) else { return };
    assert!(taken, "{page}");
    assert_eq!(takes(&page.replace("_total", "")), Some(false), "it takes anything");
}

#[test]
fn before_the_first_seal_there_is_no_age_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut around = around(dir.path());
    assert!(parsed(&around.page(Instant::now())).contains_key("recorder_seal_age_seconds"));
    around.meter = Meter::default();
    assert!(!parsed(&around.page(Instant::now())).contains_key("recorder_seal_age_seconds"));
}

#[test]
fn the_journals_files_are_counted_when_one_came_and_not_for_each_question() {
    let dir = tempfile::tempdir().unwrap();
    let (around, start) = (around(dir.path()), Instant::now());
    let segments = |at, wanted: f64, why: &str| {
        let found = parsed(&around.page(at))["recorder_journal_segments"];
        assert!((found - wanted).abs() < 1e-9, "{found}: {why}");
    };
    segments(start, 1.0, "at first");
    fs::write(dir.path().join("log/seg-0000000000000001.rj"), vec![1; 5000]).unwrap();
    segments(start + Duration::from_secs(15), 1.0, "nobody looked");
    let mut tally = Tally::default();
    tally.committed(Duration::ZERO, (0, 1));
    around.meter.publish(&tally, None);
    segments(start + Duration::from_secs(30), 2.0, "one came");
    fs::remove_file(dir.path().join("log/seg-0000000000000000.rj")).unwrap();
    segments(start + Duration::from_mins(6), 1.0, "somebody removed one");
}

#[test]
fn where_nothing_is_offered_it_does_not_end() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(async {
        let offer = Offer::new(&Metrics::default()).serve(around(dir.path()));
        timeout(Duration::from_millis(50), offer).await.is_ok()
    });
    assert!(!ended, "the service would stop");
}

#[test]
fn it_is_offered_on_a_socket_and_in_a_file_and_a_file_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, file) = (dir.path().join("m.sock"), dir.path().join("r.prom"));
    let (plain, held) = (dir.path().join("plain"), dir.path().join("held"));
    fs::write(&plain, "").unwrap();
    assert!(open(&Listen::Unix(plain)).is_err());
    let _held = std::os::unix::net::UnixListener::bind(&held).unwrap();
    assert!(open(&Listen::Unix(held)).is_err(), "somebody listens there");
    let _ = open(&Listen::Unix(socket.clone())).unwrap();
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, MODE);
    // Somebody else's link, to what only root may write.
    let victim = dir.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, dir.path().join("r.prom.new")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listen = Some(Listen::Unix(socket.clone()));
    let offer = Offer::new(&Metrics { listen, textfile: Some(file.clone()) });
    let around = around(dir.path());
    let ask = move |line: &str| {
        let end = Instant::now() + Duration::from_secs(20);
        let mut stream = loop {
            match std::os::unix::net::UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        write!(stream, "{line} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let asked = std::thread::spawn(move || ["GET /metrics", "POST /metrics", "GET /"].map(ask));
    let answers = runtime.block_on(async {
        let waited = tokio::task::spawn_blocking(move || asked.join().unwrap());
        tokio::select! {
            () = offer.serve(around) => unreachable!(),
            answers = waited => answers.unwrap(),
        }
    });
    assert!(answers[0].starts_with("HTTP/1.1 200 OK\r\n"), "{}", answers[0]);
    parsed(answers[0].split_once("\r\n\r\n").unwrap().1);
    assert!(answers[1].starts_with("HTTP/1.1 405 ") && answers[2].starts_with("HTTP/1.1 404 "));
    parsed(&fs::read_to_string(&file).unwrap());
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

use recorder::capture::*;
fn main() {
    if std::env::args().nth(1).as_deref() == Some("--canary-exit") {
        return;
    }
    let b = match std::env::args().nth(1).as_deref() {
        Some("tracepoint") => BackendChoice::Only(Backend::Tracepoint),
        Some("trampoline") => BackendChoice::Only(Backend::Trampoline),
        _ => BackendChoice::Auto,
    };
    let n: u64 = std::env::args().nth(2).map_or(0, |s| s.parse().unwrap());
    let c = CaptureConfig {
        backend: b,
        tty_input: InputMode::Redacted,
        all_logins: false,
        critical_ring: 4 << 20,
        bulk_ring: 16 << 20,
    };
    let t = std::time::Instant::now();
    match Capture::start(&c) {
        Err(e) => {
            println!("ERR {e}");
            std::process::exit(69)
        }
        Ok(mut cap) => {
            println!("backend {} refused {:?} in {:?}", cap.backend().name(), cap.refused(), t.elapsed());
            let s = cap.seed();
            println!("seeded {} {} {}", s.members.len(), s.people, s.failed);
            let mut out = vec![];
            while t.elapsed().as_secs() < n {
                if cap.drain(&mut out, false) == 0 && !cap.holds_back() {
                    cap.sleep(std::time::Duration::from_millis(20));
                } else {
                    std::thread::sleep(std::time::Duration::from_millis(1))
                }
                for e in out.drain(..) {
                    println!("{e:?}");
                }
            }
            cap.drain(&mut out, true);
            for e in out.drain(..) {
                println!("{e:?}");
            }
            println!("{:?}", cap.counts());
        }
    }
}

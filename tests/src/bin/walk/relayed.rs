//! Terminals inside terminals as people have them: sudo with its own (use_pty, Debian's default), script in it, tmux in it.

use anyhow::{Result, ensure};

use crate::Walk;

/// What only copies is stored once, and of what it left out every byte stands where the record says; tmux is no such relay.
pub(crate) fn relays_folded(walk: &Walk) -> Result<()> {
    let machine = walk.machine;
    let service = walk.service("")?;
    walk.step("the service is active");
    let pty = machine.ok("root", "grep -rh use_pty /etc/sudoers /etc/sudoers.d")?;
    ensure!(!pty.trim_start().starts_with(['#', '!']), "sudo has no terminal of its own: {pty}");
    let mut shell = machine.terminal("oncall1")?;
    shell.ask("echo up-$((40+2))", "up-42", machine.limit(20))?;
    shell.type_line("sudo -n -i")?;
    shell.ask("echo root-$(id -u)-$((40+2))", "root-0-42", machine.limit(20))?;
    let work =
        format!("/bin/true {}; for n in 1 2 3 4; do seq $n 2000; ls -l /etc /usr; done", walk.tag("sudo"));
    shell.ask(&format!("{work}; echo did-$((40+2))"), "did-42", machine.limit(60))?;
    shell.ask("script -qc 'seq 4000; id' /dev/null; echo did-$((40+3))", "did-43", machine.limit(60))?;
    shell.ask("tmux new 'seq 300; /bin/true; sleep 1'; echo did-$((40+4))", "did-44", machine.limit(60))?;
    let mark = shell.mark();
    shell.type_line("exit")?;
    shell.wait_for("$ ", mark, machine.limit(20))?;
    shell.type_line("exit")?;
    let (_, shown) = shell.finish(machine.limit(30))?;
    walk.step("oncall1 worked and left");
    service.systemctl("stop")?;
    let (_, events) = walk.sound_journal()?;
    let streams = events.streams(&events.session_of(&walk.tag("sudo"))?, "tty_output")?;
    for (no, stream) in &streams {
        println!("  terminal {no}: {} bytes, {} of them left out", stream.bytes.len(), stream.left_out);
    }
    let of = |no: u64| streams.get(&no).map(|s| (s.bytes.len(), s.left_out)).unwrap_or_default();
    let outer = streams.get(&1).map(|s| s.bytes.as_slice()).unwrap_or_default();
    ensure!(
        of(1).1 == 0 && recorder_tests::pty::find(&shown, outer).is_some(),
        "the outer terminal is not whole"
    );
    // sudo's, script's; then tmux's panes.
    for no in [2, 3] {
        let (all, left_out) = of(no);
        ensure!(
            all > 15_000 && left_out > all - all / 10,
            "of {all} bytes of terminal {no} {left_out} are left out"
        );
    }
    // A multiplexer draws anew what it has; here and there that is what the pane said, byte for byte. The pane itself is whole.
    let pane = streams.get(&4).map(|s| s.bytes.as_slice()).unwrap_or_default();
    let counted = (1..=300).map(|n| n.to_string()).collect::<Vec<_>>().join("\r\n");
    ensure!(
        recorder_tests::pty::find(pane, counted.as_bytes()).is_some(),
        "tmux's pane is not whole, it has {}",
        pane.escape_ascii()
    );
    ensure!(of(4).1 < counted.len() / 2, "tmux redraws, but of its pane {:?} are left out", of(4));
    Ok(())
}

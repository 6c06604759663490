//! Names of terminals by their device numbers (Documentation/admin-guide/devices.txt).

/// The name below /dev; empty for none, `major:minor` for a driver whose names are not known.
pub fn terminal_name(major: u32, minor: u32) -> String {
    match (major, minor) {
        (0, _) => String::new(),
        (136..=143, _) => format!("pts/{}", (major - 136) * 256 + minor),
        (4, ..64) => format!("tty{minor}"),
        (4, _) => format!("ttyS{}", minor - 64),
        (204, 64..80) => format!("ttyAMA{}", minor - 64),
        (229, _) => format!("hvc{minor}"),
        _ => format!("{major}:{minor}"),
    }
}

/// What a pipe or a socket is called that is a session's standard stream.
pub const fn stream_name(fd: u32) -> &'static str {
    match fd {
        0 => "stdin",
        1 => "stdout",
        _ => "stderr",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_have_their_names() {
        let known =
            [(4, 1, "tty1"), (4, 65, "ttyS1"), (136, 3, "pts/3"), (137, 44, "pts/300"), (229, 0, "hvc0")];
        for (major, minor, name) in
            [(0, 0, ""), (204, 64, "ttyAMA0"), (188, 0, "188:0")].into_iter().chain(known)
        {
            assert_eq!(terminal_name(major, minor), name);
        }
    }
}

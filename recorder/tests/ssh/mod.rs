//! The real OpenSSH programs, with keys in a directory that goes away.
#![allow(dead_code, reason = "every test binary uses its part")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A directory for keys and files.
pub(crate) struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// A file in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file in it.
    pub(crate) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Makes a key without a passphrase; gives its path.
    pub(crate) fn key(&self, name: &str, kind: &str, bits: Option<u32>) -> PathBuf {
        let path = self.path(name);
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-N", "", "-C", name, "-t", kind, "-f"]).arg(&path);
        if let Some(bits) = bits {
            command.args(["-b", &bits.to_string()]);
        }
        assert!(command.status().unwrap().success(), "{kind}");
        path
    }

    /// `TYPE BASE64` of a key made by [`Self::key`].
    pub(crate) fn public(&self, name: &str) -> String {
        let line = fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap();
        line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }
}

/// Signs with ssh-keygen; gives the armored signature.
pub(crate) fn sign(key: &Path, namespace: &str, options: &[&str], message: &[u8]) -> Vec<u8> {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(key);
    for option in options {
        command.args(["-O", option]);
    }
    let output = fed(&mut command, message);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// True if ssh-keygen finds that the signature is good and the list allows it; and what it said.
pub(crate) fn verify(
    list: &Path,
    principal: &str,
    signature: &Path,
    time: &str,
    zone: &str,
    message: &[u8],
) -> (bool, String) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "verify", "-n", "recorder-grant", "-I", principal, "-O"]);
    command.arg(format!("verify-time={time}")).arg("-f").arg(list).arg("-s").arg(signature);
    command.env("TZ", zone);
    let output = fed(&mut command, message);
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn fed(command: &mut Command, input: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Whoever refuses early doesn't read; that is no failure of the test.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// Has an authority certify a key; gives the line of `NAME-cert.pub`.
pub(crate) fn certify(desk: &Desk, authority: &str, name: &str, options: &[&str]) -> String {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-I", "id", "-s"]).arg(desk.path(authority)).args(options);
    // Times without a zone are local.
    command.env("TZ", "UTC").arg(desk.path(&format!("{name}.pub")));
    assert!(command.status().unwrap().success(), "{options:?}");
    fs::read_to_string(desk.path(&format!("{name}-cert.pub"))).unwrap()
}

/// Runs `recorder grant …` without the caller's environment having a say.
pub(crate) fn grant(desk: &Desk, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_recorder"));
    command.arg("grant").args(args).current_dir(desk.path("")).stdin(Stdio::null());
    command.env_remove("RECORDER_SIGNER").env_remove("RECORDER_KEY").env_remove("SSH_AUTH_SOCK");
    command.output().unwrap()
}

/// What a program said.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The path that a command which made a document printed.
pub(crate) fn made(desk: &Desk, args: &[&str]) -> PathBuf {
    let output = grant(desk, args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    desk.path(text(&output.stdout).trim())
}

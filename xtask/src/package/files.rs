//! What is installed, and where: the one table of the package and of `cargo xtask install`.
//!
//! Nothing lies in /etc: `recorder setup` writes the configuration, and people write the rest.

/// Where a file comes from.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// The service and the command line.
    Recorder,
    /// The readers alone.
    Verify,
    /// What login programs load, by its place in `build::LIBRARIES`.
    Library(usize),
    /// A file of recorder/dist.
    Dist(&'static str),
    /// A file of the checkout.
    Checkout(&'static str),
    /// Made for the package: a file, or a directory with all that is in it.
    Made(&'static str),
}

impl Source {
    /// Has symbols that nobody needs on a host.
    pub(super) fn is_program(self) -> bool {
        matches!(self, Self::Recorder | Self::Verify | Self::Library(_))
    }

    #[cfg(test)]
    pub(super) fn is_executable(self) -> bool {
        matches!(self, Self::Recorder | Self::Verify | Self::Dist("login-lines"))
    }
}

/// One file.
pub(super) struct File {
    pub(super) from: Source,
    /// Below the root; `@MULTIARCH@` is the machine's.
    pub(super) to: &'static str,
    pub(super) mode: u32,
}

const fn file(from: Source, to: &'static str) -> File {
    File { from, to, mode: 0o644 }
}

const fn program(from: Source, to: &'static str) -> File {
    File { from, to, mode: 0o755 }
}

/// All of it.
pub(super) const FILES: &[File] = &[
    program(Source::Recorder, "usr/bin/recorder"),
    program(Source::Verify, "usr/bin/recorder-verify"),
    program(Source::Dist("login-lines"), "usr/lib/recorder/login-lines"),
    file(Source::Library(0), "usr/lib/@MULTIARCH@/security/pam_recorder.so"),
    file(Source::Library(1), "usr/libexec/sudo/recorder_approval.so"),
    file(Source::Dist("recorder.service"), "usr/lib/systemd/system/recorder.service"),
    file(Source::Dist("recorder.sysusers"), "usr/lib/sysusers.d/recorder.conf"),
    file(Source::Dist("recorder.tmpfiles"), "usr/lib/tmpfiles.d/recorder.conf"),
    // Commented, to be copied from; examples that a package needs don't lie among its documents.
    file(Source::Dist("recorder.toml"), "usr/share/recorder/recorder.toml"),
    file(Source::Made("man"), "usr/share/man/man1"),
    file(Source::Made("recorder.bash"), "usr/share/bash-completion/completions/recorder"),
    file(Source::Made("recorder-verify.bash"), "usr/share/bash-completion/completions/recorder-verify"),
    file(Source::Made("_recorder"), "usr/share/zsh/vendor-completions/_recorder"),
    file(Source::Made("_recorder-verify"), "usr/share/zsh/vendor-completions/_recorder-verify"),
    file(Source::Made("recorder.fish"), "usr/share/fish/vendor_completions.d/recorder.fish"),
    file(Source::Made("recorder-verify.fish"), "usr/share/fish/vendor_completions.d/recorder-verify.fish"),
    file(Source::Made("sbom.cdx.json"), "usr/share/doc/recorder/sbom.cdx.json"),
    file(Source::Made("licences.txt"), "usr/share/doc/recorder/licences.txt"),
    file(Source::Checkout("recorder/dist/debian/copyright"), "usr/share/doc/recorder/copyright"),
    file(Source::Checkout("README.md"), "usr/share/doc/recorder/README.md"),
    file(Source::Checkout("CHANGELOG.md"), "usr/share/doc/recorder/CHANGELOG.md"),
    file(Source::Checkout("docs/operations.md"), "usr/share/doc/recorder/operations.md"),
    file(Source::Checkout("docs/journal-format.md"), "usr/share/doc/recorder/journal-format.md"),
];

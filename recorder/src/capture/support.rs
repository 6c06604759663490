//! What this kernel offers, said before anything is loaded.

use std::fs;

use super::load::LoadError;

/// Facts for `doctor` and the boot record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Support {
    /// `uname -r`.
    pub release: String,
    /// Active security modules; empty if securityfs is not mounted.
    pub lsm: Vec<String>,
    /// Lockdown state as the kernel prints it; empty if it has none.
    pub lockdown: String,
    /// True if the kernel keeps a login uid per task (audit).
    pub loginuid: bool,
    /// True if type information is there.
    pub btf: bool,
}

/// Looks at the running kernel.
pub fn probe() -> Support {
    let text = |path: &str| fs::read_to_string(path).map(|t| t.trim().to_owned()).unwrap_or_default();
    Support {
        release: text("/proc/sys/kernel/osrelease"),
        lsm: text("/sys/kernel/security/lsm")
            .split(',')
            .filter(|s| !s.is_empty())
            .map(str::to_owned)
            .collect(),
        lockdown: text("/sys/kernel/security/lockdown"),
        loginuid: fs::exists("/proc/self/loginuid").unwrap_or(false),
        btf: fs::exists("/sys/kernel/btf/vmlinux").unwrap_or(false),
    }
}

impl Support {
    /// Refuses kernels on which programs load and do not see.
    pub fn check_age(&self) -> Result<(), LoadError> {
        let mut parts = self.release.split(['.', '-', '+']).map_while(|p| p.parse::<u32>().ok());
        let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if version < (5, 15) {
            return Err(LoadError::TooOld {
                release: self.release.clone(),
                missing: if version < (5, 11) {
                    "task storage in tracing programs (5.11)"
                } else {
                    "the user registers of a task (5.15)"
                },
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn support(release: &str) -> Support {
        Support { release: release.into(), lsm: vec![], lockdown: String::new(), loginuid: true, btf: true }
    }

    #[test]
    fn old_kernels_are_refused_with_the_reason() {
        for old in ["5.10.0-35-cloud-amd64", "5.14.21", "4.19.0", "weird"] {
            let error = support(old).check_age().unwrap_err().to_string();
            assert!(error.contains(old) && error.contains("5.15"), "{error}");
        }
        for new in ["5.15.0", "6.1.0-44-amd64", "7.2+"] {
            assert!(support(new).check_age().is_ok(), "{new}");
        }
    }
}

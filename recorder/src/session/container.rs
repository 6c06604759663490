//! Which container a cgroup's path names. The names are the engines' own; root on the host can choose any.

use crate::model::{Bytes, Engine};

/// Length of the ids that engines give.
const ID: usize = 64;

fn is_id(text: &[u8]) -> bool {
    text.len() == ID && text.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Scopes and directories that hold an id between these.
const SCOPES: [(&[u8], &[u8], Engine); 7] = [
    (b"docker-", b".scope", Engine::Docker),
    (b"libpod-", b".scope", Engine::Podman),
    (b"libpod-", b"", Engine::Podman),
    (b"cri-containerd-", b".scope", Engine::Containerd),
    (b"cri-containerd-", b"", Engine::Containerd),
    (b"nerdctl-", b".scope", Engine::Containerd),
    (b"crio-", b".scope", Engine::Crio),
];

fn between<'a>(name: &'a [u8], before: &[u8], behind: &[u8]) -> Option<&'a [u8]> {
    name.strip_prefix(before)?.strip_suffix(behind)
}

/// The innermost container in a cgroup's path.
pub(super) fn named_by(path: &[u8]) -> (Engine, Bytes) {
    let names: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|name| !name.is_empty()).collect();
    for (n, name) in names.iter().enumerate().rev() {
        let above = names.get(..n).unwrap_or_default();
        if let Some((engine, id)) = container(name, above) {
            return (engine, id);
        }
    }
    (Engine::None, Bytes::default())
}

fn container(name: &[u8], above: &[&[u8]]) -> Option<(Engine, Bytes)> {
    for (before, behind, engine) in SCOPES {
        if let Some(id) = between(name, before, behind).filter(|id| is_id(id)) {
            return Some((engine, Bytes::from(id)));
        }
    }
    let parent = above.last().copied().unwrap_or_default();
    if is_id(name) {
        let pod = above.iter().any(|part| part.starts_with(b"kubepods"));
        return match parent {
            b"docker" => Some((Engine::Docker, Bytes::from(name))),
            b"libpod_parent" => Some((Engine::Podman, Bytes::from(name))),
            _ if pod => Some((Engine::Kubernetes, Bytes::from(name))),
            _ => None,
        };
    }
    if let Some(machine) = between(name, b"systemd-nspawn@", b".service") {
        return Some((Engine::Nspawn, unescaped(machine)));
    }
    if parent == b"machine.slice"
        && let Some(machine) = between(name, b"machine-", b".scope")
    {
        return Some((Engine::Machine, unescaped(machine)));
    }
    if let Some(lxc) = name.strip_prefix(b"lxc.payload.") {
        return Some((Engine::Lxc, Bytes::from(lxc)));
    }
    (parent == b"lxc").then(|| (Engine::Lxc, Bytes::from(name)))
}

/// systemd writes `\x2d` for a dash inside a name.
fn unescaped(name: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, behind)) = rest.split_first() {
        let hex = |b: u8| char::from(b).to_digit(16).and_then(|n| u8::try_from(n).ok());
        if let (b'\\', [b'x', high, low, after @ ..]) = (first, behind)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            out.push(high << 4 | low);
            rest = after;
        } else {
            out.push(*first);
            rest = behind;
        }
    }
    Bytes::new(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const B: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

    #[test]
    fn engines_name_their_containers_in_cgroups() {
        let cases = [
            (format!("/system.slice/docker-{A}.scope"), Engine::Docker, A),
            (format!("/docker/{A}"), Engine::Docker, A),
            (format!("/docker/{A}/init.scope"), Engine::Docker, A),
            // A container in a container is the inner one.
            (format!("/system.slice/docker-{A}.scope/docker/{B}"), Engine::Docker, B),
            (format!("/machine.slice/libpod-{A}.scope/container"), Engine::Podman, A),
            (
                format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope"),
                Engine::Podman,
                A,
            ),
            (format!("/libpod_parent/libpod-{A}"), Engine::Podman, A),
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-{A}.scope"
                ),
                Engine::Containerd,
                A,
            ),
            (format!("/kubepods.slice/kubepods-pod1.slice/crio-{A}.scope"), Engine::Crio, A),
            (format!("/kubepods/burstable/pod1-2/{A}"), Engine::Kubernetes, A),
            ("/machine.slice/systemd-nspawn@db\\x2d1.service/payload".into(), Engine::Nspawn, "db-1"),
            ("/machine.slice/machine-web.scope/supervisor".into(), Engine::Machine, "web"),
            ("/lxc.payload.mail/system.slice".into(), Engine::Lxc, "mail"),
            ("/lxc/mail".into(), Engine::Lxc, "mail"),
        ];
        for (path, engine, container) in cases {
            assert_eq!(named_by(path.as_bytes()), (engine, Bytes::from(container)), "{path}");
        }
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        for path in [
            "",
            "/",
            "/user.slice/user-1000.slice/session-3.scope",
            "/system.slice/docker.service",
            "/system.slice/docker-abc.scope",
            "/system.slice/machine-x.scope",
            &format!("/system.slice/libpod-conmon-{A}.scope"),
            &format!("/{A}"),
            &format!("/docker/{}", A.to_uppercase()),
        ] {
            assert_eq!(named_by(path.as_bytes()), (Engine::None, Bytes::default()), "{path}");
        }
    }

    #[test]
    fn escapes_are_taken_back_and_broken_ones_left() {
        for (name, plain) in [("a\\x2db", "a-b"), ("a\\x2", "a\\x2"), ("\\xzz", "\\xzz"), ("\\", "\\")] {
            assert_eq!(unescaped(name.as_bytes()), Bytes::from(plain));
        }
    }
}

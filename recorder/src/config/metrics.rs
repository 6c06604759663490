//! `[metrics]`: where numbers about the recorder itself can be read.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Keys {
    listen: Option<String>,
    textfile: Option<PathBuf>,
}

/// Where numbers about the recorder itself can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Prometheus asks there; `None`: nowhere.
    pub listen: Option<Listen>,
    /// Written over and over, for node_exporter; `None`: nowhere.
    pub textfile: Option<PathBuf>,
}

/// Where Prometheus asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A socket of the file system.
    Unix(PathBuf),
    /// A port of this machine, and of no other.
    Tcp(SocketAddr),
}

pub(super) fn check(keys: Keys, faults: &mut Vec<String>) -> Metrics {
    let listen = keys.listen.and_then(|text| {
        let found = place(&text);
        if found.is_none() {
            let form = "\"127.0.0.1:PORT\", \"[::1]:PORT\" or \"unix:\" and an absolute path";
            faults.push(format!(
                "metrics.listen: must be {form}: numbers leave this machine by somebody else's hand"
            ));
        }
        found
    });
    if keys
        .textfile
        .as_deref()
        .is_some_and(|file| !file.is_absolute() || file.extension().is_none_or(|e| e != "prom"))
    {
        faults.push("metrics.textfile: must be an absolute path that ends in .prom".into());
    }
    Metrics { listen, textfile: keys.textfile }
}

fn place(text: &str) -> Option<Listen> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Path::new(path).is_absolute().then(|| Listen::Unix(path.into()));
    }
    text.parse::<SocketAddr>().ok().filter(|at| at.ip().is_loopback()).map(Listen::Tcp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_may_ask() {
        let read = |listen: &str| {
            let mut faults = Vec::new();
            let metrics = check(Keys { listen: Some(listen.into()), textfile: None }, &mut faults);
            assert_eq!(metrics.listen.is_none(), !faults.is_empty(), "{listen}");
            metrics.listen
        };
        assert_eq!(read("127.0.0.1:9469"), Some(Listen::Tcp("127.0.0.1:9469".parse().unwrap())));
        assert_eq!(read("unix:/run/recorder/m"), Some(Listen::Unix("/run/recorder/m".into())));
        assert!(read("[::1]:9469").is_some());
        for refused in ["0.0.0.0:9469", "192.0.2.1:80", "unix:m", "9469", ""] {
            assert_eq!(read(refused), None, "{refused}");
        }
        let mut faults = Vec::new();
        check(Keys { listen: None, textfile: Some("/a/b.txt".into()) }, &mut faults);
        assert_eq!(faults.len(), 1);
    }
}

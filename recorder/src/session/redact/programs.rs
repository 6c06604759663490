//! Programs whose short options, or bare arguments, are secrets. Long options are known by their names.

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// The secret.
    Secret,
    /// `name:secret`, by this sign; a name alone is none.
    Pair(u8),
    /// `pass:secret`, as openssl takes it: other words say where it is kept.
    Pass,
    /// `a=b; c=d`; without a sign it is a file's name.
    Jar,
}

/// How an option stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// `-pX`
    Attached,
    /// `-p X`
    Apart,
    /// Either.
    Both,
}

/// An option of a program.
pub(super) type Opt = (&'static str, Takes, Stands);

/// What stands without an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bare {
    /// Nothing that is secret.
    None,
    /// The word behind this one.
    Behind(&'static str),
    /// The last of this many words or more.
    Last(usize),
    /// `user/secret@base`.
    Slash,
}

/// A program, by all its names.
#[derive(Debug)]
pub(super) struct Program {
    names: &'static [&'static str],
    /// Its options hold only once this word was there.
    pub(super) when: Option<&'static str>,
    pub(super) options: &'static [Opt],
    pub(super) bare: Bare,
    /// It runs another program, and what stands behind that one's name is not its own.
    pub(super) leads: bool,
}

const fn of(names: &'static [&'static str], options: &'static [Opt]) -> Program {
    Program { names, when: None, options, bare: Bare::None, leads: false }
}

const fn bare(names: &'static [&'static str], when: Option<&'static str>, bare: Bare) -> Program {
    Program { names, when, options: &[], bare, leads: false }
}

use Stands::{Apart, Attached, Both};
use Takes::{Jar, Pair, Pass, Secret};

const PROGRAMS: &[Program] = &[
    of(
        &[
            "mysql",
            "mariadb",
            "mysqldump",
            "mariadb-dump",
            "mysqladmin",
            "mariadb-admin",
            "mysqlimport",
            "mysqlcheck",
            "mysqlshow",
            "mysqlbinlog",
            "mysqlslap",
            "mysqlsh",
            "mariabackup",
            "xtrabackup",
            "mycli",
        ],
        &[("-p", Secret, Attached)],
    ),
    of(
        &["mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "mongoimport"],
        &[("-p", Secret, Both)],
    ),
    of(
        &["useradd", "usermod", "twine", "rdesktop", "ncftp", "ncftpget", "ncftpput", "influx"],
        &[("-p", Secret, Both)],
    ),
    of(
        &["curl"],
        &[
            ("-u", Pair(b':'), Both),
            ("--user", Pair(b':'), Both),
            ("-U", Pair(b':'), Both),
            ("--proxy-user", Pair(b':'), Both),
            ("-E", Pair(b':'), Both),
            ("--cert", Pair(b':'), Both),
            ("-b", Jar, Both),
            ("--cookie", Jar, Both),
            ("--oauth2-bearer", Secret, Both),
        ],
    ),
    of(
        &["http", "https", "xh", "ab", "siege"],
        &[("-a", Pair(b':'), Both), ("--auth", Pair(b':'), Both), ("-A", Pair(b':'), Both)],
    ),
    of(&["redis-cli", "valkey-cli"], &[("-a", Secret, Apart)]),
    bare(&["redis-cli", "valkey-cli"], Some("auth"), Bare::Last(2)),
    bare(&["redis-cli", "valkey-cli"], Some("AUTH"), Bare::Last(2)),
    of(
        &[
            "ldapsearch",
            "ldapadd",
            "ldapmodify",
            "ldapdelete",
            "ldapmodrdn",
            "ldapwhoami",
            "ldapcompare",
            "ldapexop",
        ],
        &[("-w", Secret, Both)],
    ),
    of(&["ldappasswd"], &[("-w", Secret, Both), ("-s", Secret, Both), ("-a", Secret, Both)]),
    of(
        &["smbclient", "rpcclient", "net", "smbget", "smbcacls", "smbtree", "wbinfo"],
        &[("-U", Pair(b'%'), Both), ("--user", Pair(b'%'), Both), ("--authenticate", Pair(b'%'), Both)],
    ),
    of(&["lftp"], &[("-u", Pair(b','), Both)]),
    of(
        &["skopeo", "podman", "buildah"],
        &[
            ("--creds", Pair(b':'), Both),
            ("--src-creds", Pair(b':'), Both),
            ("--dest-creds", Pair(b':'), Both),
        ],
    ),
    Program {
        names: &["docker", "podman", "nerdctl", "skopeo", "buildah", "helm", "oras", "crane", "az", "oc"],
        when: Some("login"),
        options: &[("-p", Secret, Both)],
        bare: Bare::None,
        leads: false,
    },
    Program {
        names: &["sshpass"],
        when: None,
        options: &[("-p", Secret, Both)],
        bare: Bare::None,
        leads: true,
    },
    of(
        &[
            "zip",
            "unzip",
            "zipcloak",
            "sqlcmd",
            "bcp",
            "isql",
            "osql",
            "tsql",
            "ipmitool",
            "mosquitto_pub",
            "mosquitto_sub",
        ],
        &[("-P", Secret, Both)],
    ),
    of(&["7z", "7za", "7zr", "7zz", "rar", "unrar"], &[("-p", Secret, Attached), ("-hp", Secret, Attached)]),
    of(
        &["openssl"],
        &[
            ("-pass", Pass, Apart),
            ("-passin", Pass, Apart),
            ("-passout", Pass, Apart),
            ("-password", Pass, Apart),
            ("-k", Secret, Apart),
            ("-K", Secret, Apart),
            ("-psk", Secret, Apart),
            ("-macopt", Pair(b':'), Apart),
        ],
    ),
    bare(&["openssl"], Some("passwd"), Bare::Last(3)),
    of(&["ssh-keygen"], &[("-N", Secret, Apart), ("-P", Secret, Apart)]),
    of(
        &["snmpget", "snmpwalk", "snmpbulkwalk", "snmpset", "snmptrap"],
        &[("-A", Secret, Both), ("-X", Secret, Both), ("-c", Secret, Both)],
    ),
    of(&["xfreerdp", "xfreerdp3", "wlfreerdp"], &[("/p:", Secret, Attached)]),
    bare(&["sqlplus", "exp", "imp", "expdp", "impdp", "rman", "sqlldr"], None, Bare::Slash),
    of(&["etcdctl", "nats"], &[("--user", Pair(b':'), Both)]),
    of(
        &["ipa-client-install", "ipa-server-install", "ipa-replica-install"],
        &[("-w", Secret, Both), ("-a", Secret, Both)],
    ),
    bare(&["nmcli", "mysqladmin", "mariadb-admin"], None, Bare::Behind("password")),
    bare(&["rabbitmqctl"], Some("add_user"), Bare::Last(4)),
    bare(&["rabbitmqctl"], Some("change_password"), Bare::Last(4)),
    bare(&["grafana-cli", "grafana"], None, Bare::Behind("reset-admin-password")),
    bare(&["mc"], Some("alias"), Bare::Last(7)),
    bare(&["vault", "cargo", "doctl"], None, Bare::Behind("login")),
    bare(&["rclone"], None, Bare::Behind("obscure")),
    bare(&["wpa_passphrase"], None, Bare::Last(3)),
    bare(&["htpasswd"], Some("-b"), Bare::Last(4)),
    bare(&["htpasswd"], Some("-nb"), Bare::Last(4)),
    bare(&["htpasswd"], Some("-bn"), Bare::Last(4)),
    bare(&["htpasswd"], Some("-cb"), Bare::Last(5)),
    bare(&["htpasswd"], Some("-bc"), Bare::Last(5)),
    bare(&["htpasswd"], Some("-nbB"), Bare::Last(4)),
    bare(&["htpasswd"], Some("-bB"), Bare::Last(4)),
];

/// All that is known of a program of that name.
pub(super) fn of_name(name: &[u8]) -> impl Iterator<Item = &'static Program> {
    PROGRAMS.iter().filter(move |program| program.names.iter().any(|known| known.as_bytes() == name))
}

/// Programs whose arguments name other programs and run none: `grep mysql -p1`.
pub(super) fn runs_nothing(name: &[u8]) -> bool {
    const QUIET: [&str; 44] = [
        "cp",
        "mv",
        "mkdir",
        "rmdir",
        "ls",
        "rm",
        "tar",
        "rsync",
        "grep",
        "egrep",
        "zgrep",
        "cat",
        "chmod",
        "chown",
        "chgrp",
        "ln",
        "stat",
        "du",
        "git",
        "apt",
        "apt-get",
        "dpkg",
        "yum",
        "dnf",
        "rpm",
        "systemctl",
        "journalctl",
        "less",
        "more",
        "tail",
        "head",
        "vi",
        "vim",
        "nano",
        "man",
        "which",
        "whereis",
        "pgrep",
        "pkill",
        "killall",
        "ps",
        "touch",
        "install",
        "pidof",
    ];
    QUIET.iter().any(|known| known.as_bytes() == name)
}

/// Programs that read a secret from their standard input, and what of it is one.
pub(super) fn drinks(words: &[&[u8]]) -> Option<Takes> {
    let has = |flag: &str| words.contains(&flag.as_bytes());
    let runs = |names: &[&str]| {
        words.iter().any(|word| names.iter().any(|name| super::vector::base(word) == name.as_bytes()))
    };
    if runs(&["chpasswd", "chgpasswd"]) {
        return Some(Pair(b':'));
    }
    let takes = (runs(&["sudo"]) && has("-S"))
        || (runs(&[
            "passwd",
            "smbpasswd",
            "pwsh",
            "htpasswd",
            "realm",
            "kinit",
            "adcli",
            "cryptsetup",
            "su",
        ]) && !has("-"))
        || has("--password-stdin")
        || has("--passphrase-fd")
        || has("--with-token")
        || has("pass:stdin")
        || has("-passin")
        || has("--stdin");
    takes.then_some(Secret)
}

//! What is taken out and what stays, as tables.

use super::*;
use crate::config::Redaction;

pub(super) fn rules() -> Rules {
    Rules::new(&Redaction::default()).unwrap().unwrap()
}

fn argv(words: &[&str]) -> Vec<Bytes> {
    words.iter().map(|word| Bytes::from(*word)).collect()
}

/// The words as they are written, joined by a blank, and what was taken out of them.
fn told(words: &[&str]) -> (String, Vec<String>) {
    let (out, taken) = rules().argv(&argv(words)).unwrap_or_else(|| (argv(words), Vec::new()));
    for place in &taken {
        let word = out[place.index].as_slice();
        assert_eq!(&word[place.offset..place.offset + MARK.len()], MARK, "{words:?}");
    }
    let words: Vec<String> =
        out.iter().map(|word| String::from_utf8_lossy(word.as_slice()).replace("[redacted]", "#")).collect();
    (words.join(" "), taken.iter().map(|place| String::from_utf8_lossy(&place.secret).into_owned()).collect())
}

const S: &str = "hunter2";

/// Arguments, and what is left of them.
const TAKEN: &[(&[&str], &str)] = &[
    (&["mysql", "-phunter2", "db"], "mysql -p# db"),
    (&["/usr/bin/mysqldump", "-uroot", "-phunter2", "--all"], "/usr/bin/mysqldump -uroot -p# --all"),
    (&["mysql", "--password=hunter2", "-h", "x"], "mysql --password=# -h x"),
    (&["sudo", "-n", "mysql", "-phunter2"], "sudo -n mysql -p#"),
    (&["./run.sh", "mariadb", "-phunter2"], "./run.sh mariadb -p#"),
    (&["svn", "--password", "hunter2", "up"], "svn --password # up"),
    (&["x", "--PassWord", "-hunter2"], "x --PassWord #"),
    (&["sshpass", "-p", "hunter2", "ssh", "-p", "22", "h"], "sshpass -p # ssh -p 22 h"),
    (&["sshpass", "-phunter2", "ssh", "h"], "sshpass -p# ssh h"),
    (&["curl", "-u", "me:hunter2", "https://x/"], "curl -u me:# https://x/"),
    (&["curl", "-ume:hunter2", "https://x/"], "curl -ume:# https://x/"),
    (&["curl", "--proxy-user=me:hunter2", "x"], "curl --proxy-user=me:# x"),
    (&["curl", "-H", "Authorization: Bearer hunter2", "x"], "curl -H Authorization: Bearer # x"),
    (&["curl", "-HAuthorization: Basic hunter2", "x"], "curl -HAuthorization: Basic # x"),
    (&["curl", "-H", "X-Api-Key: hunter2"], "curl -H X-Api-Key: #"),
    (&["curl", "-d", "user=me&password=hunter2&x=1"], "curl -d user=me&password=#&x=1"),
    (&["curl", "-d", r#"{"user":"me","password":"hunter2"}"#], r##"curl -d {"user":"me","password":"#"}"##),
    (&["curl", "-b", "sid=hunter2"], "curl -b #"),
    (
        &["wget", "--http-password=hunter2", "--header=PRIVATE-TOKEN: hunter2"],
        "wget --http-password=# --header=PRIVATE-TOKEN: #",
    ),
    (&["git", "clone", "https://me:hunter2@host/x.git"], "git clone https://me:#@host/x.git"),
    (&["psql", "postgres://me:hunter2@db/x?sslmode=on"], "psql postgres://me:#@db/x?sslmode=on"),
    (&["psql", "host=db user=me password=hunter2 dbname=x"], "psql host=db user=me password=# dbname=x"),
    (&["redis-cli", "-u", "redis://:hunter2@h:6379"], "redis-cli -u redis://:#@h:6379"),
    (&["redis-cli", "-a", "hunter2", "ping"], "redis-cli -a # ping"),
    (&["redis-cli", "config", "set", "requirepass", "hunter2"], "redis-cli config set requirepass #"),
    (&["env", "PASSWORD=hunter2", "x"], "env PASSWORD=# x"),
    (
        &["sudo", "AWS_SECRET_ACCESS_KEY=hunter2", "GH_TOKEN=hunter2", "aws"],
        "sudo AWS_SECRET_ACCESS_KEY=# GH_TOKEN=# aws",
    ),
    (&["env", "PGPASSWORD=hunter2 with more", "psql"], "env PGPASSWORD=# psql"),
    (
        &["aws", "configure", "set", "aws_secret_access_key", "hunter2"],
        "aws configure set aws_secret_access_key #",
    ),
    (&["openssl", "rsa", "-passin", "pass:hunter2", "-in", "x"], "openssl rsa -passin pass:# -in x"),
    (&["openssl", "passwd", "-6", "hunter2"], "openssl passwd -6 #"),
    (&["ssh-keygen", "-N", "hunter2", "-f", "x"], "ssh-keygen -N # -f x"),
    (
        &["x", "--token", "hunter2", "--secret=hunter2", "--api-key", "hunter2"],
        "x --token # --secret=# --api-key #",
    ),
    (&["keytool", "-storepass", "hunter2", "-list"], "keytool -storepass # -list"),
    (&["docker", "login", "-u", "me", "-p", "hunter2"], "docker login -u me -p #"),
    (&["docker", "run", "-e", "MYSQL_ROOT_PASSWORD=hunter2", "x"], "docker run -e MYSQL_ROOT_PASSWORD=# x"),
    (
        &["kubectl", "create", "secret", "generic", "x", "--from-literal=k=hunter2"],
        "kubectl create secret generic x --from-literal=k=#",
    ),
    (&["ldapsearch", "-D", "cn=x", "-w", "hunter2"], "ldapsearch -D cn=x -w #"),
    (&["smbclient", "//h/x", "-U", "me%hunter2"], "smbclient //h/x -U me%#"),
    (
        &["mount", "-o", "username=me,password=hunter2,uid=0", "//h/x", "/mnt"],
        "mount -o username=me,password=#,uid=0 //h/x /mnt",
    ),
    (&["usermod", "-p", "hunter2", "me"], "usermod -p # me"),
    (&["7z", "a", "-phunter2", "x.7z"], "7z a -p# x.7z"),
    (&["sqlplus", "me/hunter2@db"], "sqlplus me/#@db"),
    (&["nmcli", "dev", "wifi", "connect", "x", "password", "hunter2"], "nmcli dev wifi connect x password #"),
    (&["htpasswd", "-b", "file", "me", "hunter2"], "htpasswd -b file me #"),
    (&["mysqladmin", "-u", "root", "password", "hunter2"], "mysqladmin -u root password #"),
    (&["rabbitmqctl", "add_user", "me", "hunter2"], "rabbitmqctl add_user me #"),
    (&["vault", "login", "hunter2"], "vault login #"),
    (&["mysql", "-e", "ALTER USER x IDENTIFIED BY 'hunter2'"], "mysql -e ALTER USER x IDENTIFIED BY '#'"),
    (&["psql", "-c", "CREATE ROLE x PASSWORD 'hunter2' LOGIN"], "psql -c CREATE ROLE x PASSWORD '#' LOGIN"),
    (&["sh", "-c", "mysql -phunter2 db"], "sh -c mysql -p# db"),
    (&["sh", "-c", "export X_TOKEN='hunter2'; run"], "sh -c export X_TOKEN='#'; run"),
    (&["sh", "-c", "export X_TOKEN=hunter2; run | x"], "sh -c export X_TOKEN=#; run | x"),
    (&["sh", "-c", "(X_TOKEN=hunter2); y"], "sh -c (X_TOKEN=#); y"),
    (&["sh", "-c", "A=1 PASSWORD=hunter2 run; ls"], "sh -c A=1 PASSWORD=# run; ls"),
    (&["ssh", "h", "sudo mysql -p'hunter2' -e x"], "ssh h sudo mysql -p'#' -e x"),
    (&["sh", "-c", "ssh h \"sh -c 'mysql -phunter2 x'\""], "sh -c ssh h \"sh -c 'mysql -p# x'\""),
    (&["sh", "-c", "x=$(mysql -phunter2 -e y)"], "sh -c x=$(mysql -p# -e y)"),
    (&["sh", "-c", "echo 'root:hunter2' | chpasswd"], "sh -c echo 'root:#' | chpasswd"),
    (&["sh", "-c", "echo hunter2 | sudo -S id"], "sh -c echo # | sudo -S id"),
    (&["sh", "-c", "chpasswd <<< root:hunter2"], "sh -c chpasswd <<< root:#"),
    (
        &["sh", "-c", "docker login --password-stdin <<< \"hunter2\""],
        "sh -c docker login --password-stdin <<< \"#\"",
    ),
];

#[test]
fn g7_secrets_in_arguments_are_taken_out() {
    for (words, left) in TAKEN {
        let (line, taken) = told(words);
        assert_eq!(line, *left);
        for secret in taken {
            assert!(
                secret.contains(S) && secret.trim_start_matches('-').starts_with(S) || secret.ends_with(S),
                "{line}: {secret}"
            );
        }
        let all = words.join(" ");
        assert!(!line.contains(S), "{all}");
    }
}

#[test]
fn g7_known_forms_are_taken_out_wherever_they_stand() {
    let jwt = "eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeK";
    for token in [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "glpat-abcdefghijklmnopqrst",
        "xoxb-123456789012-abcdef",
        jwt,
        "npm_abcdefghijklmnopqrstuvwxyz0123456789",
        "sk_live_abcdefghijkl",
        "$6$saltsalt$abcdefghijklmnopqrstuvwxyz",
    ] {
        let (line, taken) = told(&["notify", &format!("see {token} here"), token]);
        assert_eq!((line.as_str(), taken.len()), ("notify see # here #", 2), "{token}");
        assert!(taken.iter().all(|secret| secret == token));
    }
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
    let (line, _) = told(&["echo", key]);
    assert_eq!(line, "echo -----BEGIN OPENSSH PRIVATE KEY-----#-----END OPENSSH PRIVATE KEY-----\n");
}

#[test]
fn g7_what_is_no_secret_stays() {
    for words in [
        &["x", "--password-file", "/etc/x"][..],
        &["x", "--password-file=/etc/x", "--no-password", "--ask-pass", "y"],
        &["passwd", "oncall1"],
        &["git", "log", "--author=x"],
        &["ssh", "-p", "22", "host"],
        &["mkdir", "-p", "dir"],
        &["cp", "-p", "a", "b"],
        &["cp", "-p", "mysql", "-pold"],
        &["grep", "-r", "mysql", "-p1"],
        &["mysql", "-p", "db"],
        &["mysql", "-P", "3306", "--protocol=tcp"],
        &["docker", "run", "-p", "80:80", "nginx"],
        &["curl", "-u", "me", "-b", "jar.txt", "https://host:8443/a@b"],
        &["git", "clone", "ssh://git@github.com/x/y"],
        &["openssl", "rsa", "-passin", "file:/x", "-passout", "env:Y"],
        &["env", "PWD=/root", "OLDPWD=/", "PATH=/bin", "x"],
        &["ansible-playbook", "--private-key=/root/id_rsa", "--ask-become-pass", "-k"],
        &["sh", "-c", "mysql -p\"$PASS\" db; X_TOKEN=$(cat /run/x) run --password ${PW}"],
        &["sh", "-c", "if [ \"$PASSWORD\" = x ]; then echo yes; fi"],
        &["kubectl", "get", "secret", "x", "-o", "yaml"],
        &["docker", "build", "--secret", "id=x,src=/y"],
        &["x", "--password", "--verbose"],
        &["x", "--use-token=true", "--token=none", "--max-tokens", "5"],
        &["grep", "-i", "password", "/etc/x"],
        &["ssh-keygen", "-N", "", "-f", "x"],
        &["tar", "-czf", "x.tgz", "-C", "/", "etc"],
        &["useradd", "-m", "-s", "/bin/sh", "me"],
        &["rsync", "-avz", "-e", "ssh -p 2222", "a", "b"],
        &["mc", "/tmp"],
        &["helm", "upgrade", "x", "--set", "image.tag=1.2.3,replicas=2", "--set-file", "tls.crt=/x"],
        &["sudo", "-p", "prompt: ", "id"],
        &["kubectl", "-n", "x", "exec", "-it", "pod", "--", "sh", "-c", "ls -l /; echo a: b | tee x"],
        &["systemctl", "set-environment", "A=1"],
        &["awk", "-F:", "{print $1}", "/etc/passwd"],
        &["date", "+%Y-%m-%dT%H:%M:%S"],
        &["find", "/", "-name", "*.pem", "-o", "-path", "*/token/*"],
        &["true"],
        &[],
    ] {
        assert_eq!(rules().argv(&argv(words)), None, "{words:?}");
    }
}

#[test]
fn g7_files_in_the_ways_they_are_written() {
    let text = "\
[client]
user = me
password = two words # why
db.password=two words
export API_TOKEN=hunter2
+password: 'two words'
-  \"secret\": \"two \\\" words\", \"user\": 1
url: https://me:hunter2@host/
<password>two words</password>
machine h login me password hunter2
requirepass hunter2
password requisite pam_pwquality.so retry=3
root:$6$saltsalt$abcdefghijklmnopqrstu:19000:0:::
key: |
  plain
privateKeySecret: |
  two
  words
after: x
5 4 * * * mysql -phunter2 -e x
don't touch this
PasswordAuthentication no
password_file = /etc/x
";
    let (out, taken) = rules().text(text.as_bytes()).unwrap();
    let out = String::from_utf8(out).unwrap().replace("[redacted]", "#");
    let want = "\
[client]
user = me
password = # # why
db.password=#
export API_TOKEN=#
+password: '#'
-  \"secret\": \"#\", \"user\": 1
url: https://me:#@host/
<password>#</password>
machine h login me password #
requirepass #
password requisite pam_pwquality.so retry=3
root:#:19000:0:::
key: |
  plain
privateKeySecret: |
  #
after: x
5 4 * * * mysql -p# -e x
don't touch this
PasswordAuthentication no
password_file = /etc/x
";
    assert_eq!(out, want);
    assert_eq!(taken.len(), 12);
    assert_eq!(rules().text(b"nothing = here\n"), None);
}

#[test]
fn g7_names_and_patterns_of_ones_own() {
    let config = Redaction {
        names: vec!["corp-pin".into()],
        patterns: vec!["ticket ([0-9]{4})".into(), "BADGE[0-9]+".into()],
        ..Redaction::default()
    };
    let rules = Rules::new(&config).unwrap().unwrap();
    let (out, taken) =
        rules.argv(&argv(&["x", "--corp-pin", "1234", "CORP_PIN=99", "ticket 5555 BADGE77"])).unwrap();
    let line: Vec<String> = out.iter().map(Bytes::escaped).collect();
    assert_eq!(line.join(" "), "x --corp-pin [redacted] CORP_PIN=[redacted] ticket [redacted] [redacted]");
    let rules_told: Vec<&str> = taken.iter().map(|place| place.rule.as_ref()).collect();
    assert_eq!(rules_told, ["option", "assignment", "pattern-1", "pattern-2"]);
    let off = Redaction { rules: config::RulesKey::Off, ..Redaction::default() };
    assert!(Rules::new(&off).unwrap().is_none());
}

#[test]
fn g7_the_rest_is_taken_out_as_one_where_there_is_no_end() {
    let words: Vec<String> = (0..3000).map(|n| format!("pw=s{n}x")).collect();
    let argv: Vec<Bytes> = words.iter().map(|word| Bytes::from(word.as_str())).collect();
    let (out, taken) = rules().argv(&argv).unwrap();
    assert_eq!((out.len(), taken.len()), (MOST + 1, MOST + 1));
    assert_eq!(
        taken.last().map(|place| (place.rule.as_ref(), place.secret.len())),
        Some(("rest", words[MOST..].join("\0").len()))
    );
    let line = words.join(" ");
    let (out, taken) = rules().line(line.as_bytes()).unwrap();
    assert_eq!((taken.len(), out.ends_with(MARK)), (MOST + 1, true));
}

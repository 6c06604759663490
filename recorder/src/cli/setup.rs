//! `recorder setup`: the configuration and the directories of this host, with the keys that its journal is sealed to.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{BufRead, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Failure, Io};
use crate::config::{self, ConfigError};
use crate::journal::Recipient;

/// What the package ships, with its comments; the recipients' line is filled in.
const TEMPLATE: &str = include_str!("../../dist/recorder.toml");
const RECIPIENTS: &str = "# recipients = [";

/// Arguments of `recorder setup`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Configuration file to write; one that is there is never written over
    #[arg(long, value_name = "FILE", default_value = config::DEFAULT_PATH)]
    config: PathBuf,
    /// Public key of somebody who may read the journal: age1…, ssh-ed25519 … or ssh-rsa …; may be repeated
    #[arg(long, value_name = "KEY", conflicts_with = "no_encryption")]
    recipient: Vec<String>,
    /// File with such keys, one a line
    #[arg(long, value_name = "FILE", conflicts_with = "no_encryption")]
    recipients_file: Option<PathBuf>,
    /// Directory of the journal
    #[arg(long, value_name = "DIR", default_value = config::DEFAULT_JOURNAL)]
    journal: PathBuf,
    /// Record in clear: whoever reads the disk reads the journal, and every verdict says so
    #[arg(long)]
    no_encryption: bool,
}

pub(crate) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    let stdin = std::io::stdin();
    let mut person = std::io::IsTerminal::is_terminal(&stdin).then(|| stdin.lock());
    let answers = person.as_mut().map(|lines| -> &mut dyn BufRead { lines });
    set_up(args, answers, io)
}

/// `answers`: where a person answers, if there is one.
fn set_up(args: &Args, answers: Option<&mut dyn BufRead>, io: &mut Io<'_>) -> Result<u8, Failure> {
    if args.config.exists() {
        return Err(Failure::Usage(format!(
            "{} is there already: edit it, or name another file with --config",
            args.config.display()
        )));
    }
    if !args.journal.is_absolute() {
        return Err(Failure::Usage("--journal must be an absolute path".to_owned()));
    }
    let recipients = if args.no_encryption { Vec::new() } else { recipients(args, answers, io)? };
    let text = fill(&recipients, args)?;
    let memory = args.journal.parent().unwrap_or(Path::new("/")).join("memory");
    let text = text.replace(config::DEFAULT_MEMORY, &quoted(&memory)?);
    write_new(&args.config, &text)?;
    // What was written is read as the service will read it, before anybody relies on it.
    let config = config::load(Some(&args.config)).map_err(|e: ConfigError| Failure::Io(e.to_string()))?;
    for dir in [&config.journal_dir, &config.grants.memory] {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|e| Failure::Io(format!("cannot make {}: {e}", dir.display())))?;
    }
    tell(args, &config.journal_dir, &recipients, io)?;
    Ok(0)
}

fn recipients(
    args: &Args,
    answers: Option<&mut dyn BufRead>,
    io: &mut Io<'_>,
) -> Result<Vec<Recipient>, Failure> {
    let mut named = args.recipient.clone();
    if let Some(path) = &args.recipients_file {
        let text = fs::read_to_string(path).map_err(|e| Failure::Io(format!("{}: {e}", path.display())))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        named.extend(lines.map(str::to_owned));
    }
    let mut list = Vec::new();
    for (n, text) in named.iter().enumerate() {
        let key = text
            .parse::<Recipient>()
            .map_err(|e| Failure::Usage(format!("recipient {}: {e}", n.saturating_add(1))))?;
        list.push(key);
    }
    if list.is_empty()
        && let Some(answers) = answers
    {
        ask(answers, &mut list, io)?;
    }
    let mut seen = Vec::new();
    list.retain(|key| {
        !seen.contains(key) && {
            seen.push(key.clone());
            true
        }
    });
    if list.is_empty() {
        return Err(Failure::Usage(
            "name at least one recipient (--recipient KEY), or record in clear by name (--no-encryption)"
                .to_owned(),
        ));
    }
    Ok(list)
}

fn ask(answers: &mut dyn BufRead, list: &mut Vec<Recipient>, io: &mut Io<'_>) -> Result<(), Failure> {
    writeln!(
        io.err,
        "Who may read this host's journal? One public key a line: age1…, ssh-ed25519 … or ssh-rsa …."
    )?;
    writeln!(
        io.err,
        "Make one elsewhere: `age-keygen -o identity.txt` prints it. Never bring the secret half here."
    )?;
    writeln!(
        io.err,
        "Two recipients or more: if the only key is lost, so is what was recorded. An empty line ends."
    )?;
    loop {
        write!(io.err, "recipient {}: ", list.len().saturating_add(1))?;
        io.err.flush()?;
        let mut line = String::new();
        answers.read_line(&mut line)?;
        if line.trim().is_empty() {
            return Ok(());
        }
        match line.parse::<Recipient>() {
            Ok(key) => list.push(key),
            Err(error) => writeln!(io.err, "  {error}")?,
        }
    }
}

/// The shipped configuration with this host's answers.
fn fill(recipients: &[Recipient], args: &Args) -> Result<String, Failure> {
    let line = if recipients.is_empty() {
        "mode = \"off\"".to_owned()
    } else {
        let keys: Vec<String> = recipients.iter().map(|key| format!("    \"{key}\",\n")).collect();
        format!("recipients = [\n{}]", keys.concat())
    };
    let text = TEMPLATE
        .lines()
        .map(|old| if old.starts_with(RECIPIENTS) { line.as_str() } else { old })
        .collect::<Vec<_>>()
        .join("\n");
    Ok(text.replace(config::DEFAULT_JOURNAL, &quoted(&args.journal)?) + "\n")
}

/// A path as it stands between the quotes of a basic TOML string.
fn quoted(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().filter(|text| !text.contains(['"', '\\']) && !text.contains(char::is_control));
    text.map(str::to_owned).ok_or_else(|| {
        Failure::Usage("a directory's name has characters that have no place in a configuration".to_owned())
    })
}

fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let write = || {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|e: std::io::Error| Failure::Io(format!("cannot write {}: {e}", path.display())))
}

fn tell(args: &Args, journal: &Path, recipients: &[Recipient], io: &mut Io<'_>) -> Result<(), Failure> {
    writeln!(io.out, "configuration: {}", args.config.display())?;
    writeln!(io.out, "journal: {}", journal.display())?;
    match recipients.len() {
        0 => writeln!(io.out, "encryption: OFF, by name: whoever reads the disk reads the journal")?,
        n => writeln!(io.out, "encryption: sealed to {n} recipient{}", if n == 1 { "" } else { "s" })?,
    }
    for key in recipients {
        writeln!(io.out, "    {key}")?;
    }
    writeln!(io.out, "keep elsewhere:")?;
    if !recipients.is_empty() {
        writeln!(
            io.out,
            "    the secret half of each recipient's key: without one of them nobody reads this journal"
        )?;
    }
    writeln!(
        io.out,
        "    the origin note that the first start prints: with it a verifier knows that a log is this host's"
    )?;
    writeln!(io.out, "    checkpoints (`recorder checkpoint`): they show what was cut off or put back")?;
    if recipients.len() == 1 {
        writeln!(io.out, "one recipient only: if that key is lost, so is everything that was recorded")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use age::secrecy::ExposeSecret as _;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    struct Done {
        code: Result<u8, String>,
        out: String,
        err: String,
        config: PathBuf,
        _dir: tempfile::TempDir,
    }

    fn run_with(extra: &[&str], answers: Option<&str>) -> Done {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("etc/recorder.toml");
        let journal = dir.path().join("lib/journal");
        let mut line =
            vec!["setup", "--config", config.to_str().unwrap(), "--journal", journal.to_str().unwrap()];
        line.extend(extra);
        let args = Line::parse_from(line).args;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut io = Io { out: &mut out, err: &mut err, out_terminal: false, err_terminal: false };
        let mut answers = answers.map(str::as_bytes);
        let code = set_up(&args, answers.as_mut().map(|a| -> &mut dyn BufRead { a }), &mut io);
        let code = code.map_err(|failure| {
            let mut text = Vec::new();
            let mut io =
                Io { out: &mut Vec::new(), err: &mut text, out_terminal: false, err_terminal: false };
            failure.report(&mut io);
            String::from_utf8(text).unwrap()
        });
        Done {
            code,
            out: String::from_utf8(out).unwrap(),
            err: String::from_utf8(err).unwrap(),
            config,
            _dir: dir,
        }
    }

    fn key() -> String {
        age::x25519::Identity::generate().to_public().to_string()
    }

    #[test]
    fn without_recipients_nothing_is_set_up_unless_by_name() {
        let done = run_with(&[], None);
        assert!(done.code.unwrap_err().contains("--recipient") && !done.config.exists());
        let done = run_with(&[], Some("\n"));
        assert!(done.code.unwrap_err().contains("--no-encryption") && !done.config.exists());
        let done = run_with(&["--no-encryption"], None);
        assert_eq!(done.code, Ok(0));
        assert!(config::load(Some(&done.config)).unwrap().recipients.is_empty() && done.out.contains("OFF"));
    }

    #[test]
    fn it_asks_until_there_is_a_key_and_takes_no_secret_one() {
        let secret = age::x25519::Identity::generate().to_string().expose_secret().to_owned();
        let (a, b) = (key(), key());
        let done = run_with(&[], Some(&format!("{secret}\nnonsense\n{a}\n{b}\n{a}\n\n")));
        assert_eq!(done.code, Ok(0));
        assert!(done.err.contains("secret key") && done.err.contains("no recipient"));
        let config = config::load(Some(&done.config)).unwrap();
        assert_eq!(config.recipients, [a, b]);
        assert!(config.journal_dir.is_dir() && config.grants.memory.is_dir());
        assert!(!fs::read_to_string(&done.config).unwrap().contains(&secret));
    }

    #[test]
    fn what_is_there_is_not_written_over() {
        let key = key();
        let done = run_with(&["--recipient", &key], None);
        assert_eq!(done.code, Ok(0));
        let before = fs::read_to_string(&done.config).unwrap();
        let args =
            Line::parse_from(["setup", "--config", done.config.to_str().unwrap(), "--recipient", &key]).args;
        let mut io =
            Io { out: &mut Vec::new(), err: &mut Vec::new(), out_terminal: false, err_terminal: false };
        let Err(Failure::Usage(text)) = set_up(&args, None, &mut io) else { panic!("it was set up again") };
        assert!(text.contains("is there already"), "{text}");
        // One that comes between the look and the writing.
        assert!(write_new(&done.config, "other").is_err());
        assert_eq!(fs::read_to_string(&done.config).unwrap(), before);
    }

    #[test]
    fn keys_come_from_a_file_too_and_a_wrong_one_sets_up_nothing() {
        let (a, b) = (key(), key());
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys");
        fs::write(&file, format!("# who reads\n\n  {a}  \n{b}\n{b}\n")).unwrap();
        let done = run_with(&["--recipient", &b, "--recipients-file", file.to_str().unwrap()], None);
        assert_eq!(done.code, Ok(0));
        assert_eq!(config::load(Some(&done.config)).unwrap().recipients, [b, a.clone()]);
        assert!(done.out.contains("sealed to 2 recipients\n") && !done.out.contains("one recipient only"));
        fs::write(&file, format!("{a}\nnonsense\n")).unwrap();
        let done = run_with(&["--recipients-file", file.to_str().unwrap()], None);
        assert!(done.code.unwrap_err().contains("recipient 2") && !done.config.exists());
        let done = run_with(&["--recipient", &a], None);
        assert!(done.out.contains("one recipient only") && done.out.contains("secret half"), "{}", done.out);
    }

    #[test]
    fn directories_are_for_root_only_and_memory_lies_beside_the_journal() {
        use std::os::unix::fs::PermissionsExt as _;
        let done = run_with(&["--recipient", &key()], None);
        let config = config::load(Some(&done.config)).unwrap();
        assert_eq!(config.grants.memory, config.journal_dir.parent().unwrap().join("memory"));
        for dir in [&config.journal_dir, &config.grants.memory] {
            assert_eq!(fs::metadata(dir).unwrap().permissions().mode() & 0o777, 0o700, "{}", dir.display());
        }
        let mode = fs::metadata(&done.config).unwrap().permissions().mode();
        assert_eq!(mode & 0o022, 0, "nobody else writes the configuration");
    }

    #[test]
    fn a_place_that_a_configuration_can_not_name_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("recorder.toml");
        let key = key();
        for (place, why) in [("relative/journal", "absolute"), ("/tmp/a\"b/journal", "characters")] {
            let words =
                ["setup", "--config", config.to_str().unwrap(), "--recipient", &key, "--journal", place];
            let mut io =
                Io { out: &mut Vec::new(), err: &mut Vec::new(), out_terminal: false, err_terminal: false };
            let Err(Failure::Usage(text)) = set_up(&Line::parse_from(words).args, None, &mut io) else {
                panic!("{place}")
            };
            assert!(text.contains(why) && !config.exists(), "{place}: {text}");
        }
    }
}

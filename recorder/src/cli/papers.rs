//! `recorder papers`: man pages and completions for the package, of the same definitions as the help. Hidden: nobody on a host needs it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use clap::CommandFactory as _;
use clap_complete::{Shell, generate_to};

use super::{Cli, Failure, Io, reader};

/// Arguments of `papers`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory to write into
    dir: PathBuf,
}

const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

pub(crate) fn run(args: &Args, _io: &mut Io<'_>) -> Result<u8, Failure> {
    let fail = |error: std::io::Error| Failure::Io(format!("{}: {error}", args.dir.display()));
    fs::create_dir_all(&args.dir).map_err(fail)?;
    for mut command in [without_hidden(&Cli::command()), reader::command()] {
        let name = command.get_name().to_owned();
        for shell in SHELLS {
            let path = generate_to(shell, &mut command, name.as_str(), &args.dir).map_err(fail)?;
            rename(&path, &name, shell).map_err(fail)?;
        }
        command.build();
        pages(&command, &name, &args.dir).map_err(fail)?;
    }
    Ok(0)
}

/// The hidden commands are nobody's business, in completions either.
fn without_hidden(command: &clap::Command) -> clap::Command {
    let shown: Vec<_> = command.get_subcommands().filter(|c| !c.is_hide_set()).cloned().collect();
    let bare = clap::Command::new("recorder").version(env!("CARGO_PKG_VERSION"));
    let about = command.get_about().cloned().unwrap_or_default();
    bare.about(about).subcommand_required(true).disable_help_subcommand(true).subcommands(shown)
}

/// `recorder.bash`, `_recorder`, `recorder.fish`, whatever clap calls them.
fn rename(path: &Path, name: &str, shell: Shell) -> std::io::Result<()> {
    let wanted = match shell {
        Shell::Bash => format!("{name}.bash"),
        Shell::Zsh => format!("_{name}"),
        _ => format!("{name}.fish"),
    };
    fs::rename(path, path.with_file_name(wanted))
}

/// One page for the program, and one for each of its commands: `recorder-grant-request(1)`.
fn pages(command: &clap::Command, name: &str, dir: &Path) -> std::io::Result<()> {
    let page = clap_mangen::Man::new(command.clone()).title(name.to_uppercase());
    // The date would be that of the build: the same sources give the same page.
    page.date("").render(&mut File::create(dir.join(format!("{name}.1")))?)?;
    for inner in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        pages(inner, &format!("{name}-{}", inner.get_name()), dir)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::run as ran;
    use super::*;

    #[test]
    fn each_command_has_a_page_and_the_shells_know_them() {
        let dir = tempfile::tempdir().unwrap();
        let args = Args { dir: dir.path().to_owned() };
        assert_eq!(ran(|io| run(&args, io)).code, 0);
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        for name in ["recorder", "recorder-verify", "recorder-grant-request", "recorder-retention-plan"] {
            assert!(read(&format!("{name}.1")).contains("NAME"), "{name}");
        }
        assert!(read("recorder-grant-request.1").contains("reason"));
        for name in ["recorder.bash", "_recorder", "recorder.fish"] {
            let text = read(name);
            assert!(text.contains("timeline") && !text.contains("papers"), "{name}");
        }
        assert!(!dir.path().join("recorder-papers.1").exists());
    }
}

//! `recorder grant check`: documents against a list of signers, one line each.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{
    Failure, Io,
    read::{self, Checked, Signature, Signers, SignersArgs, Unreadable},
    show::{self, safe},
};
use crate::{
    cli::args::{Format, FormatArgs},
    cli::table,
    export::{write_line, write_pretty},
    grant::DocumentError,
};

/// Arguments of `recorder grant check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The documents; the signature of each is FILE.sig
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    signers: SignersArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// A file and what it holds.
struct Row {
    path: PathBuf,
    found: Result<Checked, DocumentError>,
}

pub(super) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    let Some(signers) = args.signers.read(io)? else {
        return Err(Failure::Usage(
            "--allowed-signers missing: without it nobody is known; see --help".to_owned(),
        ));
    };
    let rows: Vec<Row> = args.files.iter().map(|path| Row::read(path, &signers)).collect::<Result<_, _>>()?;
    match args.format.format {
        Format::Table => {
            let header = ["VERDICT", "KIND", "ID", "SIGNER", "KEY", "FILE", "WHY"];
            table::print(io.out, &header, &rows.iter().map(Row::cells).collect::<Vec<_>>())?;
        }
        Format::Json => {
            write_pretty(io.out, &rows.iter().map(|row| row.json(&signers)).collect::<Vec<_>>())?;
        }
        Format::Ndjson => rows.iter().try_for_each(|row| write_line(io.out, &row.json(&signers)))?,
    }
    Ok(u8::from(rows.iter().any(|row| row.fault().is_some())))
}

impl Row {
    fn read(path: &Path, signers: &Signers) -> Result<Self, Failure> {
        let found = match read::check(path, Some(signers)) {
            Ok(checked) => Ok(checked),
            Err(Unreadable::Document(error)) => Err(error),
            Err(Unreadable::Io(failure)) => return Err(failure),
        };
        Ok(Self { path: path.to_owned(), found })
    }

    fn fault(&self) -> Option<String> {
        match &self.found {
            Ok(checked) => checked.fault(),
            Err(error) => Some(format!("no grant document: {error}")),
        }
    }

    fn cells(&self) -> Vec<String> {
        let dash = || "-".to_owned();
        let document = self.found.as_ref().ok().map(|checked| &checked.document);
        let key = match self.found.as_ref().map(|checked| &checked.signature) {
            Ok(Signature::Good(signed)) => signed.key.fingerprint(),
            _ => dash(),
        };
        let fault = self.fault();
        vec![
            if fault.is_none() { "good" } else { "REFUSED" }.to_owned(),
            document.map_or_else(dash, |d| d.statement.kind().to_owned()),
            document.map_or_else(dash, |d| d.id.to_string().chars().take(12).collect()),
            document.map_or_else(dash, |d| safe(&d.signer)),
            key,
            safe(&self.path.to_string_lossy()),
            fault.map_or_else(dash, |why| safe(&why)),
        ]
    }

    fn json(&self, signers: &Signers) -> Value {
        match &self.found {
            Ok(checked) => show::json(checked, Some(signers)),
            Err(error) => {
                json!({"v": 1, "file": self.path.to_string_lossy(), "good": false, "why": error.to_string()})
            }
        }
    }
}

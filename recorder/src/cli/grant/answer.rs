//! `recorder grant approve`, `reject`, `revoke`, `extend`: what people say about a request.

use std::path::{Path, PathBuf};

use super::{
    Failure, Io,
    issue::{self, MakerArgs},
    read::{self, Checked, SignersArgs},
    show,
};
use crate::{
    cli::args::{parse_moment, parse_span},
    grant::{Answer, Extension, Request, Statement},
    model::{Digest, RealNanos},
};

/// Arguments of `recorder grant approve`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ApproveArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Why, if there is something to say
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    maker: MakerArgs,
}

/// Arguments of `recorder grant reject` and `recorder grant revoke`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RefuseArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    maker: MakerArgs,
}

/// Arguments of `recorder grant extend`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ExtendArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The new end of the window
    #[arg(long, value_name = "TIME", value_parser = parse_moment, conflicts_with = "length")]
    until: Option<RealNanos>,
    /// The new end of the window, counted from now, such as 2h
    #[arg(long = "for", id = "length", value_name = "DURATION", value_parser = parse_span)]
    length: Option<u64>,
    /// Why, if there is something to say
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    maker: MakerArgs,
}

/// Which request.
#[derive(Clone, Debug, clap::Args)]
struct TargetArgs {
    /// The request: its file, with its signature beside it, or its id (64 hex digits)
    #[arg(value_name = "REQUEST")]
    request: PathBuf,
    #[command(flatten)]
    signers: SignersArgs,
}

pub(super) fn approve(args: &ApproveArgs, io: &mut Io<'_>) -> Result<u8, Failure> {
    let maker = args.maker.maker(Vec::new())?;
    let target = args.target.find(io)?;
    target.must_be_believable()?;
    target.must_be("approve", false)?;
    target.must_be_anothers("approve", &maker.signer)?;
    if target.request().is_some_and(|request| request.window.until <= issue::now()) {
        io.warn("the window of this request is over: the approval will allow nothing");
    }
    target.show(io)?;
    issue::issue(&maker, &Statement::Approval(target.answer(&args.reason)), io)
}

pub(super) fn reject(args: &RefuseArgs, io: &mut Io<'_>) -> Result<u8, Failure> {
    let (maker, reason) = args.complete()?;
    let target = args.target.find(io)?;
    target.must_be("reject", false)?;
    issue::issue(&maker, &Statement::Rejection(target.answer(reason)), io)
}

pub(super) fn revoke(args: &RefuseArgs, io: &mut Io<'_>) -> Result<u8, Failure> {
    let (maker, reason) = args.complete()?;
    let target = args.target.find(io)?;
    target.must_be("revoke", true)?;
    issue::issue(&maker, &Statement::Revocation(target.answer(reason)), io)
}

pub(super) fn extend(args: &ExtendArgs, io: &mut Io<'_>) -> Result<u8, Failure> {
    let end = args
        .until
        .or_else(|| args.length.map(|nanos| RealNanos::new(issue::now().get().saturating_add(nanos))));
    let maker = args.maker.maker(if end.is_none() { vec!["--until or --for"] } else { Vec::new() })?;
    let Some(until) = end else { return Err(Failure::Usage("--until or --for missing".to_owned())) };
    let target = args.target.find(io)?;
    target.must_be_believable()?;
    target.must_be("extend", true)?;
    target.must_be_anothers("extend", &maker.signer)?;
    if target.request().is_some_and(|request| until <= request.window.until) {
        return Err(Failure::Usage("the new end is not later than the request's own".to_owned()));
    }
    target.show(io)?;
    let extension = Extension { request: target.id, until, reason: args.reason.clone() };
    issue::issue(&maker, &Statement::Extension(extension), io)
}

impl RefuseArgs {
    fn complete(&self) -> Result<(issue::Maker, &str), Failure> {
        let missing = if self.reason.is_none() { vec!["--reason"] } else { Vec::new() };
        let maker = self.maker.maker(missing)?;
        Ok((maker, self.reason.as_deref().unwrap_or_default()))
    }
}

/// The request that is answered: by file, or by id alone.
struct Target {
    id: Digest,
    checked: Option<Checked>,
}

impl TargetArgs {
    fn find(&self, io: &mut Io<'_>) -> Result<Target, Failure> {
        if let Some(id) = as_id(&self.request) {
            io.warn("the request is answered by its id; what it says was not read");
            return Ok(Target { id, checked: None });
        }
        let signers = self.signers.read(io)?;
        let checked = read::check_one(&self.request, signers.as_ref())?;
        Ok(Target { id: checked.document.id, checked: Some(checked) })
    }
}

/// A file of that name wins over an id.
pub(super) fn as_id(path: &Path) -> Option<Digest> {
    let text = path.to_str().filter(|text| text.len() == 2 * Digest::LEN)?;
    if path.exists() { None } else { Digest::from_hex(text) }
}

impl Target {
    fn answer(&self, reason: &str) -> Answer {
        Answer { request: self.id, reason: reason.to_owned() }
    }

    fn request(&self) -> Option<&Request> {
        self.checked.as_ref()?.document.statement.request()
    }

    /// Nobody should put his name under what nobody asked for.
    fn must_be_believable(&self) -> Result<(), Failure> {
        match self.checked.as_ref().and_then(Checked::fault) {
            None => Ok(()),
            Some(fault) => Err(Failure::Nothing(fault)),
        }
    }

    fn must_be(&self, verb: &str, glass_too: bool) -> Result<(), Failure> {
        let Some(checked) = &self.checked else { return Ok(()) };
        match &checked.document.statement {
            Statement::Request(_) | Statement::Certificate(_) | Statement::Import(_) => Ok(()),
            Statement::BreakGlass(_) if glass_too => Ok(()),
            other => Err(Failure::Usage(format!(
                "{} is a {}; nobody can {verb} that",
                checked.path.display(),
                other.kind()
            ))),
        }
    }

    fn must_be_anothers(&self, verb: &str, signer: &str) -> Result<(), Failure> {
        let Some(checked) = &self.checked else { return Ok(()) };
        if checked.document.signer == signer || self.request().is_some_and(|r| r.person == signer) {
            return Err(Failure::Usage(format!(
                "{signer} can't {verb} his own request: another person has to"
            )));
        }
        Ok(())
    }

    /// On a terminal the person sees what he is about to sign before his key asks for a touch or a passphrase.
    fn show(&self, io: &mut Io<'_>) -> Result<(), Failure> {
        if let (true, Some(checked)) = (io.err_terminal, &self.checked) {
            show::write_people(io.err, checked, None)?;
        }
        Ok(())
    }
}

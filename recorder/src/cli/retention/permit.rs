//! `recorder retention permit`: somebody who may allows a plan. Away from the host: the key never comes near it.

use std::path::PathBuf;

use super::{Failure, Io};
use crate::{
    cli::{
        args::parse_span,
        grant::{
            issue::{self, MakerArgs},
            read,
        },
    },
    grant::verify_in,
    journal::retain::{Maker, NAMESPACE, Permit, Plan, text::MAX_DOCUMENT},
    model::RealNanos,
};

/// Arguments of `recorder retention permit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The plan
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// How long it may be applied
    #[arg(long = "for", id = "length", value_name = "DURATION", value_parser = parse_span, default_value = "7d")]
    length: u64,
    #[command(flatten)]
    maker: MakerArgs,
}

pub(crate) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    let missing = if args.reason.is_none() { vec!["--reason"] } else { Vec::new() };
    let maker = args.maker.maker(missing)?;
    let bytes = read::read(&args.plan, MAX_DOCUMENT)?;
    let plan = Plan::parse(&bytes)
        .map_err(|fault| Failure::Nothing(format!("{} is no plan: {fault}", args.plan.display())))?;
    let who = new_maker(&maker.signer)?;
    let until = RealNanos::new(who.made.get().saturating_add(args.length));
    let reason = args.reason.as_deref().unwrap_or_default();
    let until = RealNanos::new(until.get() - until.get() % 1_000_000_000);
    let (permit, bytes) =
        Permit::write(&who, &plan, reason, until).map_err(|fault| Failure::Usage(fault.to_string()))?;
    sign_and_store(&maker, "permit", &permit.head.id.to_string(), &bytes, io)
}

/// Who signs now, with fresh random bytes.
pub(super) fn new_maker(signer: &str) -> Result<Maker, Failure> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|e| Failure::Missing(format!("no random bytes: {e}")))?;
    Ok(Maker { signer: signer.to_owned(), made: issue::now(), nonce })
}

/// Has ssh-keygen sign, checks what it made, leaves both files and prints the document's path.
pub(super) fn sign_and_store(
    maker: &issue::Maker,
    kind: &str,
    id: &str,
    bytes: &[u8],
    io: &mut Io<'_>,
) -> Result<u8, Failure> {
    let signature = issue::sign(&maker.key, NAMESPACE, bytes)?;
    verify_in(NAMESPACE, bytes, &signature)
        .map_err(|e| Failure::Io(format!("{} can't sign that: {e}", maker.key.display())))?;
    let name = format!("{kind}-{}.toml", id.get(..12).unwrap_or_default());
    let path = issue::store(&maker.out, &name, bytes, &signature)?;
    writeln!(io.out, "{}", crate::cli::io::one_line(&path.display().to_string()))?;
    Ok(0)
}

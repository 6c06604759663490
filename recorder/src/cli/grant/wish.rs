//! `recorder grant request` and `recorder grant break-glass`.

use std::io::IsTerminal;

use super::{
    Failure, Io, ask,
    issue::{self, IncidentArgs, Maker, MakerArgs},
};
use crate::{
    cli::args::{parse_moment, parse_span},
    grant::{Privilege, Request, Statement, Window},
    model::RealNanos,
};

/// How long somebody who breaks glass has, unless he says otherwise.
const BREAK_GLASS_NANOS: u64 = 3600 * 1_000_000_000;

/// What, when and why.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct WishArgs {
    /// A host name or a pattern with * and ?; `!` in front takes out [several: repeat or separate by commas]
    #[arg(long = "host", value_name = "PATTERN", value_delimiter = ',')]
    hosts: Vec<String>,
    /// The first moment [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    from: Option<RealNanos>,
    /// The end of the window
    #[arg(long, value_name = "TIME", value_parser = parse_moment, conflicts_with = "length")]
    until: Option<RealNanos>,
    /// How long, such as 2h
    #[arg(long = "for", id = "length", value_name = "DURATION", value_parser = parse_span)]
    length: Option<u64>,
    /// root, user:NAME or command:GLOB [several: repeat]
    #[arg(long = "privilege", value_name = "PRIVILEGE", value_parser = parse_privilege)]
    privileges: Vec<Privilege>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    incident: IncidentArgs,
    /// Each use takes a token
    #[arg(long)]
    token: bool,
}

/// Arguments of `recorder grant request`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RequestArgs {
    /// Who needs it, as the list of signers has him [default: the signer]
    #[arg(long, value_name = "NAME")]
    person: Option<String>,
    #[command(flatten)]
    wish: WishArgs,
    #[command(flatten)]
    maker: MakerArgs,
}

/// Arguments of `recorder grant break-glass`: this host, an hour and root unless flags say otherwise.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BreakGlassArgs {
    #[command(flatten)]
    wish: WishArgs,
    #[command(flatten)]
    maker: MakerArgs,
}

pub(super) fn parse_privilege(text: &str) -> Result<Privilege, String> {
    text.parse().map_err(|e: crate::grant::DocumentError| e.to_string())
}

pub(super) fn request(args: &RequestArgs, io: &mut Io<'_>) -> Result<u8, Failure> {
    let (maker, request) = if args.is_bare() && io.err_terminal && std::io::stdin().is_terminal() {
        ask::request(&args.maker, &mut std::io::stdin().lock(), io.err)?
    } else {
        complete(args)?
    };
    issue::issue(&maker, &Statement::Request(request), io)
}

pub(super) fn break_glass(args: &BreakGlassArgs, io: &mut Io<'_>) -> Result<u8, Failure> {
    let mut wish = args.wish.clone();
    if wish.hosts.is_empty() {
        wish.hosts.extend(host_name());
    }
    if wish.until.is_none() && wish.length.is_none() {
        wish.length = Some(BREAK_GLASS_NANOS);
    }
    if wish.privileges.is_empty() {
        wish.privileges.push(Privilege::Root);
    }
    let maker = args.maker.maker(wish.missing())?;
    let request = wish.request(maker.signer.clone(), issue::now());
    issue::issue(&maker, &Statement::BreakGlass(request), io)
}

fn complete(args: &RequestArgs) -> Result<(Maker, Request), Failure> {
    let maker = args.maker.maker(args.wish.missing())?;
    let person = args.person.clone().unwrap_or_else(|| maker.signer.clone());
    let request = args.wish.request(person, issue::now());
    Ok((maker, request))
}

impl RequestArgs {
    /// True if nothing was said about what is wanted.
    fn is_bare(&self) -> bool {
        let wish = &self.wish;
        self.person.is_none()
            && wish.hosts.is_empty()
            && wish.from.is_none()
            && wish.until.is_none()
            && wish.length.is_none()
            && wish.privileges.is_empty()
            && wish.reason.is_none()
            && wish.incident.incident.is_none()
    }
}

impl WishArgs {
    fn missing(&self) -> Vec<&'static str> {
        let flags = [
            ("--host", self.hosts.is_empty()),
            ("--until or --for", self.until.is_none() && self.length.is_none()),
            ("--privilege", self.privileges.is_empty()),
            ("--reason", self.reason.is_none()),
        ];
        flags.into_iter().filter(|(_, missing)| *missing).map(|(flag, _)| flag).collect()
    }

    /// The request, once nothing is missing.
    fn request(&self, person: String, now: RealNanos) -> Request {
        let from = self.from.unwrap_or(now);
        let end = || RealNanos::new(from.get().saturating_add(self.length.unwrap_or(0)));
        Request {
            person,
            hosts: self.hosts.clone(),
            window: Window { from, until: self.until.unwrap_or_else(end) },
            privileges: self.privileges.clone(),
            reason: self.reason.clone().unwrap_or_default(),
            incident: self.incident.incident(),
            token: self.token,
        }
    }
}

/// What this host calls itself.
pub(super) fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

//! `recorder witness`: a small witness of our own, to be run on another machine than those that are recorded.

use std::{net::SocketAddr, path::PathBuf};

use super::{Failure, Io};
use crate::{
    journal::note::{Algorithm, Verifier},
    witness::{Limits, Store, Witness, key, run as serve},
};

/// Arguments of `recorder witness`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address to listen on; put a proxy with TLS in front of it for others than this machine
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// The witness's secret key; made at the first start
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where the newest checkpoint of each log is kept
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Name of the key, if it is made now [default: recorder-witness/HOST]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A log whose checkpoints are signed, as `recorder checkpoint --vkey` prints it (repeat)
    #[arg(long, value_name = "VKEY", required = true)]
    log: Vec<String>,
}

pub(crate) fn run(args: &Args, io: &mut Io<'_>) -> Result<u8, Failure> {
    let logs = args.log.iter().map(|vkey| {
        let read = Verifier::parse(vkey).map_err(|e| Failure::Usage(format!("--log {vkey}: {e}")))?;
        match read.algorithm() {
            Algorithm::Ed25519 => Ok(read),
            Algorithm::Cosignature => Err(Failure::Usage(format!("--log {vkey}: that is a witness's key"))),
        }
    });
    let logs = logs.collect::<Result<Vec<_>, _>>()?;
    let host = || {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        format!("recorder-witness/{}", name.trim())
    };
    let name = args.name.clone().unwrap_or_else(host);
    let (verifier, secret) = key::load_or_make(&args.key, &name).map_err(|e| match e {
        key::KeyError::Name(_) => Failure::Usage(e.to_string()),
        _ => Failure::Io(e.to_string()),
    })?;
    let store = Store::open(&args.state).map_err(|e| Failure::Io(e.to_string()))?;
    let fault = |e: std::io::Error| Failure::Io(format!("{}: {e}", args.listen));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fault)?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(args.listen).await.map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        writeln!(io.out, "{verifier}")?;
        io.out.flush()?;
        let _ = writeln!(io.err, "recorder: witness for {} logs at http://{address}", logs.len());
        let witness = Witness::new(verifier.name(), secret, logs, store);
        let (mut term, mut int) = {
            use tokio::signal::unix::{SignalKind, signal};
            (signal(SignalKind::terminate()).map_err(fault)?, signal(SignalKind::interrupt()).map_err(fault)?)
        };
        tokio::select! {
            () = serve(listener, witness, Limits::default()) => {}
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        Ok(0)
    })
}

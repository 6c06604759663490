//! Where the numbers are offered: a port of this machine or a socket, and a file that is written over.

use std::{
    convert::Infallible,
    fs,
    io::{self, Write as _},
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, body::Bytes, body::Incoming, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::Semaphore,
    time::timeout,
};

use super::{super::alarm, Around};
use crate::config::{Listen, Metrics};

/// Between two writes of the file.
const EVERY: Duration = Duration::from_secs(15);
/// For one question and its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// At a time; the rest waits in the queue.
const SEATS: usize = 4;
/// Who is told by the group of the directory that the socket lies in.
const MODE: u32 = 0o660;

enum Door {
    Unix(std::os::unix::net::UnixListener),
    Tcp(std::net::TcpListener),
}

/// What was configured, ready to be served.
pub(in crate::service) struct Offer {
    listen: Option<Listen>,
    textfile: Option<PathBuf>,
}

impl Offer {
    /// What is to be offered.
    pub(in crate::service) fn new(config: &Metrics) -> Self {
        Self { listen: config.listen.clone(), textfile: config.textfile.clone() }
    }

    /// Serves for ever. What fails is told and given up: recording goes on.
    pub(in crate::service) async fn serve(self, around: Around) {
        let around = Arc::new(around);
        let file = write_over(self.textfile, Arc::clone(&around));
        let door = async {
            // For ever: whoever waits for this takes its end for the service's.
            let Some(place) = &self.listen else { return std::future::pending().await };
            let mut told = false;
            loop {
                let failed = match open(place) {
                    Ok(door) => answer_at(door, Arc::clone(&around)).await,
                    Err(error) => Err(error),
                };
                // Anybody may take a port while the recorder starts: it goes on recording, and tries again.
                if let Err(error) = failed
                    && !told
                {
                    tracing::error!(MESSAGE_ID = alarm::METRICS_REFUSED, %error, ?place, "metrics can't be served");
                    told = true;
                }
                tokio::time::sleep(EVERY).await;
            }
        };
        tokio::join!(file, door);
    }
}

fn open(place: &Listen) -> io::Result<Door> {
    match place {
        Listen::Unix(path) => unix(path),
        Listen::Tcp(at) => {
            let listener = std::net::TcpListener::bind(at)?;
            listener.set_nonblocking(true)?;
            Ok(Door::Tcp(listener))
        }
    }
}

/// A stale socket is replaced; a file that is none is not.
fn unix(path: &Path) -> io::Result<Door> {
    if let Ok(there) = fs::symlink_metadata(path) {
        if !there.file_type().is_socket() || std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        fs::remove_file(path)?;
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    listener.set_nonblocking(true)?;
    Ok(Door::Unix(listener))
}

async fn answer_at(door: Door, around: Arc<Around>) -> io::Result<()> {
    let seats = Arc::new(Semaphore::new(SEATS));
    let (unix, tcp) = match door {
        Door::Unix(listener) => (Some(UnixListener::from_std(listener)?), None),
        Door::Tcp(listener) => (None, Some(TcpListener::from_std(listener)?)),
    };
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return Ok(()) };
        let around = Arc::clone(&around);
        let accepted = match (&unix, &tcp) {
            (Some(listener), _) => listener.accept().await.map(|(stream, _)| {
                tokio::spawn(async move {
                    let _seat = seat;
                    talk(TokioIo::new(stream), around).await;
                });
            }),
            (_, Some(listener)) => listener.accept().await.map(|(stream, _)| {
                tokio::spawn(async move {
                    let _seat = seat;
                    talk(TokioIo::new(stream), around).await;
                });
            }),
            (None, None) => return Ok(()),
        };
        if accepted.is_err() {
            // No descriptors left: the loop must not burn the processor.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn talk<T: hyper::rt::Read + hyper::rt::Write + Unpin>(stream: T, around: Arc<Around>) {
    let answer = service_fn(move |request| answer(request, Arc::clone(&around)));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(16 << 10).keep_alive(false);
    let _ = timeout(PATIENCE, server.serve_connection(stream, answer)).await;
}

async fn answer(
    request: Request<Incoming>,
    around: Arc<Around>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let plain = |status, text: String| {
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        let form = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(hyper::header::CONTENT_TYPE, form);
        response
    };
    if request.method() != Method::GET {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "GET /metrics\n".to_owned()));
    }
    if request.uri().path() != "/metrics" {
        return Ok(plain(StatusCode::NOT_FOUND, "only /metrics is here\n".to_owned()));
    }
    // Looks at a disk, which may be slow; the control socket is served by the same thread.
    Ok(match tokio::task::spawn_blocking(move || around.page(Instant::now())).await {
        Ok(page) => plain(StatusCode::OK, page),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, String::new()),
    })
}

/// Each time a new file takes the name, so that nobody reads half of one.
async fn write_over(file: Option<PathBuf>, around: Arc<Around>) {
    let Some(file) = file else { return };
    let mut failed = false;
    loop {
        let (to, around) = (file.clone(), Arc::clone(&around));
        let done = tokio::task::spawn_blocking(move || write(&to, &around.page(Instant::now()))).await;
        if let Ok(done) = done {
            if let Err(error) = &done
                && !failed
            {
                tracing::warn!(%error, file = %file.display(), "metrics.textfile can't be written");
            }
            failed = done.is_err();
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn write(to: &Path, page: &str) -> io::Result<()> {
    let new = to.with_extension("prom.new");
    // The directory may be somebody's who would have root write elsewhere: no link is followed, and nothing that is there is written to.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&new)?;
    file.write_all(page.as_bytes())?;
    // node_exporter is nobody in particular.
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    fs::rename(&new, to)
}

#[cfg(test)]
mod tests;

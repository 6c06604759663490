//! HTTP in front of the witness: one path, one method, and limits on size, time and number.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};

use super::core::{MAX_REQUEST, Refusal, Witness};
use crate::sys::clock;

/// What one client may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; more wait.
    pub connections: usize,
    /// For the headers, and for the body.
    pub patience: Duration,
    /// For a connection as a whole.
    pub life: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 64, patience: Duration::from_secs(5), life: Duration::from_mins(1) }
    }
}

type Shared = Arc<Mutex<Witness>>;

/// Answers for ever. After a failed accept (no descriptors left) it waits a moment and goes on.
pub async fn run(listener: TcpListener, witness: Witness, limits: Limits) {
    let witness: Shared = Arc::new(Mutex::new(witness));
    let seats = Arc::new(Semaphore::new(limits.connections));
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let witness = Arc::clone(&witness);
        tokio::spawn(async move {
            let _seat = seat;
            let answer = service_fn(|request| answer(request, Arc::clone(&witness), limits.patience));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.patience)
                .max_buf_size(16 << 10)
                .serve_connection(TokioIo::new(stream), answer);
            // Whoever goes away, or says nothing, has nobody to tell.
            let _ = timeout(limits.life, connection).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    witness: Shared,
    patience: Duration,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() != "/add-checkpoint" {
        return Ok(plain(StatusCode::NOT_FOUND, "only /add-checkpoint is here\n".to_owned()));
    }
    if request.method() != Method::POST {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "POST a checkpoint\n".to_owned()));
    }
    let body = Limited::new(request.into_body(), MAX_REQUEST).collect();
    let body = match timeout(patience, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, format!("at most {MAX_REQUEST} bytes\n")));
        }
        Err(_) => return Ok(plain(StatusCode::REQUEST_TIMEOUT, "too slow\n".to_owned())),
    };
    let signed = tokio::task::spawn_blocking(move || {
        let seconds = clock::pair().real.get() / 1_000_000_000;
        // One at a time: what is compared, kept and signed is one act.
        witness.lock().unwrap_or_else(PoisonError::into_inner).add_checkpoint(&body, seconds)
    });
    Ok(match signed.await {
        Ok(Ok(line)) => plain(StatusCode::OK, line),
        Ok(Err(refusal)) => refused(&refusal),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "a fault of the witness\n".to_owned()),
    })
}

fn refused(refusal: &Refusal) -> Response<Full<Bytes>> {
    if let Refusal::Store(error) = refusal {
        tracing::error!(%error, "nothing is signed");
    }
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = plain(status, format!("{refusal}\n"));
    if matches!(refusal, Refusal::Conflict(_)) {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/x.tlog.size"));
    }
    response
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

//! A witness behind TLS, as the world has them: asked over https, trusted through the host's own certificates and nothing else.
//!
//! Which certificates are the host's is told by the environment, so whoever asks is another process: this test again.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::*;
use crate::journal::checkpoint::Checkpoint;

const NAME: &str =
    "service::anchor::tests::https::a_witness_behind_tls_is_believed_by_the_hosts_certificates_alone";
/// URL and key of the witness, with a blank between them: set where this test is who asks.
const WHOM: &str = "RECORDER_TEST_WITNESS";
const NOTE: &str = "RECORDER_TEST_NOTE";

/// Somebody who signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: PathBuf,
}

impl Authority {
    fn new(dir: &Path, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let own = params.self_signed(&key).unwrap();
        let pem = dir.join(name);
        let text = STANDARD.encode(own.der());
        std::fs::write(&pem, format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"))
            .unwrap();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn server(&self, name: &str) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let own =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let chain = vec![CertificateDer::from(own.der().to_vec())];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        Arc::new(config.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap())
    }
}

/// Head and body of a request or an answer.
fn message(from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut from = BufReader::new(from);
    let (mut all, mut length) = (Vec::new(), 0);
    loop {
        let start = all.len();
        if from.read_until(b'\n', &mut all)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(&all[start..]).to_ascii_lowercase();
        if let Some(n) = line.strip_prefix("content-length:") {
            length = n.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    all.extend(body);
    Ok(all)
}

/// What stands behind the TLS.
#[derive(Clone)]
enum Behind {
    Witness(SocketAddr),
    /// Sends everybody elsewhere.
    Redirect(&'static str, String),
}

/// Serves until the test's process ends; its URL, and how many requests came through.
fn serve_tls(tls: Arc<ServerConfig>, behind: Behind) -> (String, Arc<AtomicU32>) {
    let listener = Listener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&requests);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&tls)).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            // Whoever does not like the certificate sends nothing.
            let Ok(request) = message(&mut stream) else { continue };
            count.fetch_add(1, Ordering::SeqCst);
            let answer = match &behind {
                Behind::Witness(address) => {
                    let mut plain = TcpStream::connect(address).unwrap();
                    plain.write_all(&request).unwrap();
                    message(plain).unwrap()
                }
                Behind::Redirect(status, to) => format!(
                    "HTTP/1.1 {status}\r\nLocation: {to}/add-checkpoint\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
                .into_bytes(),
            };
            let _ = stream.write_all(&answer);
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (url, requests)
}

/// Asks as the recorder does, and says what came of it.
fn ask(whom: &str, note: &str) {
    let (url, key) = whom.split_once(' ').unwrap();
    let mut client = witness::Client::new(url, key).unwrap();
    let head =
        Checkpoint::parse(note.split_once("\n\n").map(|(text, _)| format!("{text}\n")).as_deref().unwrap());
    let head = head.unwrap().head;
    match client.cosign(note, head, &|_| panic!("nothing is to be proven"), PATIENCE) {
        Ok(lines) => println!("OUTCOME signed {lines:?}"),
        Err(why) => println!("OUTCOME {why}"),
    }
}

/// What came of it on a host that trusts these.
fn outcome(url: &str, key: &Verifier, note: &str, trusted: &Path) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", NAME, "--nocapture"]).env(WHOM, format!("{url} {key}")).env(NOTE, note);
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "SSL_CERT_DIR"] {
        command.env_remove(name);
    }
    let out = command.env("SSL_CERT_FILE", trusted).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let line = said.lines().find_map(|line| line.split_once("OUTCOME ")).map(|(_, rest)| rest.to_owned());
    line.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&out.stderr)))
}

#[test]
fn a_witness_behind_tls_is_believed_by_the_hosts_certificates_alone() {
    if let (Ok(whom), Ok(note)) = (std::env::var(WHOM), std::env::var(NOTE)) {
        return ask(&whom, &note);
    }
    let mut scene = Scene::new();
    let head = grow(&mut scene.w, 3);
    let note = scene.signer().sign(head);
    let plain: SocketAddr = scene.url.strip_prefix("http://").unwrap().parse().unwrap();
    let (ours, others) =
        (Authority::new(scene.dir.path(), "ours"), Authority::new(scene.dir.path(), "others"));
    let told = |url: &str| outcome(url, &scene.by, &note, &ours.pem);

    // Refused before anything is asked.
    let (url, asked) = serve_tls(others.server("127.0.0.1"), Behind::Witness(plain));
    let why = told(&url);
    assert!(why.contains("UnknownIssuer") && asked.load(Ordering::SeqCst) == 0, "{why}");
    let (url, asked) = serve_tls(ours.server("elsewhere.example"), Behind::Witness(plain));
    let why = told(&url);
    assert!(why.contains("not valid for name") && asked.load(Ordering::SeqCst) == 0, "{why}");

    // Followed nowhere, not to a witness that would sign either.
    let (good, asked) = serve_tls(ours.server("127.0.0.1"), Behind::Witness(plain));
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        for to in [&good, &scene.url] {
            let (url, sent) = serve_tls(ours.server("127.0.0.1"), Behind::Redirect(status, to.clone()));
            let why = told(&url);
            assert!(why.starts_with("it answers 30") && sent.load(Ordering::SeqCst) == 1, "{status}: {why}");
        }
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);

    let signed = told(&good);
    assert!(signed.starts_with("signed ") && signed.contains("w.example/1"), "{signed}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

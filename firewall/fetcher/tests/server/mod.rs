//! Server of lists that does what a test says, with a certificate of its own authority.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// TLS stream to a client.
pub type Stream = StreamOwned<ServerConnection, TcpStream>;

/// Certificate authority of the servers.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A server that answers until the program ends.
pub struct Server {
    /// Port that it listens on.
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Authority {
    pub fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(parameters, key).unwrap();
        Self { issuer }
    }

    /// Returns the root certificate, as PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Starts a server at this address, with a certificate of this authority. `answer` gets the request, up to the
    /// empty line, and writes the whole response.
    pub fn serve(
        &self,
        address: &str,
        answer: impl Fn(&str, &mut Stream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Server {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new([address.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![certificate.der().clone()],
                    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
                )
                .unwrap();
        let (config, answer) = (Arc::new(config), Arc::new(answer));
        let listener = TcpListener::bind((address, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, answer, log) = (config.clone(), answer.clone(), log.clone());
                std::thread::spawn(move || {
                    // Whoever hangs up has heard enough.
                    let _hung_up = talk(stream, config, &log, &*answer);
                });
            }
        });
        Server { port, asked }
    }
}

impl Server {
    /// Returns the URL of a list on the server.
    pub fn url(&self, address: &str, path: &str) -> String {
        format!("https://{address}:{}/{path}", self.port)
    }

    /// Returns the requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn talk(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    log: &Mutex<Vec<String>>,
    answer: &dyn Fn(&str, &mut Stream) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let mut request = String::new();
    let mut lines = BufReader::with_capacity(1, &mut stream);
    while !request.ends_with("\r\n\r\n") {
        if lines.read_line(&mut request)? == 0 {
            return Ok(());
        }
    }
    drop(lines);
    log.lock().unwrap().push(request.clone());
    answer(&request, &mut stream)?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// Writes a complete response.
pub fn ok(stream: &mut Stream, more: &str, body: &[u8]) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{more}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

/// Writes a response without a body.
pub fn status(stream: &mut Stream, line: &str, more: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n{more}\r\n");
    stream.write_all(head.as_bytes())
}
